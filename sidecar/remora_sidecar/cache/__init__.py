"""The response cache's room; nothing caches yet."""
