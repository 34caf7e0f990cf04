"""Paired benchmarks of the sidecar against stock mitmdump; `python -m bench` runs them."""
