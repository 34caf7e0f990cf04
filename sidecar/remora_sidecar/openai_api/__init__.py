"""OpenAI's own paths on the control listener: calls that clients send to the sidecar by its URL."""
