"""The engine: carries each LLM call to its provider and its answer back, and records it."""
