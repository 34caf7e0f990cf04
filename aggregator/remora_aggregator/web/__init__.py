"""The room of the web page and the JSON API; empty until they are built."""
