"""Keeps the catalogue of models that workflows choose from."""
