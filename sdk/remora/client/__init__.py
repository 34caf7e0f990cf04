"""Clients of the aggregator's gRPC services, for the CLI and for programs outside pods."""
