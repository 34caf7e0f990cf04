"""Version 1 of the wire contracts (package `remora.v1`)."""
