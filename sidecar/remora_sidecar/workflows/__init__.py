"""The workflows' room; nothing runs them yet."""
