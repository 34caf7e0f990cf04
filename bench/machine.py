"""On what a run was made: versions and machine, without names or paths."""

import os
import platform
import ssl
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
_LIBRARIES = ("remora", "mitmproxy", "aiohttp", "grpcio", "cryptography", "orjson", "genai-prices")


def today() -> str:
    """The date of the run."""
    return datetime.now(UTC).date().isoformat()


def versions() -> dict[str, str]:
    """Versions of all that matters."""
    found = {name: metadata.version(name) for name in _LIBRARIES}
    return found | {
        "commit": _commit(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def machine() -> dict[str, str | int]:
    """What the machine is."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kernel": platform.release().partition("-")[0],
        "architecture": platform.machine(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
