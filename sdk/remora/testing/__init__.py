"""The shipped fakes: a clock, a provider double, an in-memory aggregator.

Tests, demo and benchmarks use the same ones. The double needs `remora[sidecar]` (aiohttp).
"""
