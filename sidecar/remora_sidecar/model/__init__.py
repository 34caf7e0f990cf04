"""The sidecar's own values: what the rooms above pass to each other. No I/O, no framework."""
