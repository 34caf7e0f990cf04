"""Signals and what is learned from them: values and decisions; the store keeps them."""
