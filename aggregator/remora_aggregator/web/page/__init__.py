"""The web page: files that browsers load, and how they are served."""
