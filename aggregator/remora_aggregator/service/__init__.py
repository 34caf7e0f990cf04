"""The gRPC services: decode, call the store, encode."""
