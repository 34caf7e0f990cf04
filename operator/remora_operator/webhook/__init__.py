"""The admission webhook's room: HTTP around the pure injection."""
