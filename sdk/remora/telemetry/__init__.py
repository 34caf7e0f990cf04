"""OTLP: calls as spans and the sidecar's metrics to a collector; nothing of it loads when off."""
