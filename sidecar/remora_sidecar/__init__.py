"""The sidecar: intercepts an agent's LLM calls, carries them, records them."""
