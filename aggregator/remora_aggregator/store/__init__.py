"""The record store: one writer, numbered migrations, queries."""
