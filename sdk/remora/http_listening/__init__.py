"""Listeners for aiohttp's servers that bound what clients may hold and how long they may take.

Needs aiohttp, which the aggregator, the operator and the sidecar have.
"""
