"""The control and status listeners: sessions, environment, records, probes, scrapes."""
