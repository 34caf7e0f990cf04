"""Signals in the sidecar: those that wait for the aggregator, and those that it makes itself."""
