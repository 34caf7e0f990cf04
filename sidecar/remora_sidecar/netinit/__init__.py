"""The redirect rules that bring an agent's traffic to the sidecar: pure text, and applying it."""
