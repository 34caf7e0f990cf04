"""Remora's light library: what agents, programs and every part of Remora may import."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("remora")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
