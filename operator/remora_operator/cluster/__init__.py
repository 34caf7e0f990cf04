"""What stands in the cluster: read from its API server, watched, and written back."""
