"""Wire formats of LLM calls, one sans-io module each: feed bytes, get what they state."""
