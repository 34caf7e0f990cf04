"""The sidecar of this machine or pod as programs beside it find, start and ask it."""
