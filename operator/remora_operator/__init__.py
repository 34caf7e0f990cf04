"""The operator: injects sidecars, keeps the root CA, delivers policy. Only its rooms stand yet."""
