"""The policy language: pydantic models of the three kinds, loading with positions, validation.

Used by sidecar, operator and CLI alike; pure, so it knows no I/O beyond text given to it.
"""
