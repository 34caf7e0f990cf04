"""The journal: what was recorded, kept for trackers' queries beside what the spool delivers."""
