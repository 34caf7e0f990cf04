"""The sidecar's commands: `sidecar`, `run`, `demo`, `netinit`. Heavy imports stay inside them."""
