"""Tasks beside the sidecar: asked of the aggregator, or of a book of this process's own."""
