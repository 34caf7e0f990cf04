"""How long the fault tests are, and what their chances come from.

`REMORA_FAULT_KILLS` says how many kills each of them makes (default: a few, for CI; some hundreds
for the long form) and `REMORA_FAULT_SEED` repeats a run; a test that fails prints its seed.
"""

import os
import random
import secrets

import pytest

_FEW = 4


@pytest.fixture
def chance() -> random.Random:
    """What decides when and what fails."""
    seed = int(os.environ.get("REMORA_FAULT_SEED") or secrets.randbelow(1_000_000))
    print(f"REMORA_FAULT_SEED={seed}")
    return random.Random(seed)  # noqa: S311


@pytest.fixture(scope="session")
def kills() -> int:
    """How many kills a test makes."""
    return int(os.environ.get("REMORA_FAULT_KILLS") or _FEW)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the time that it takes, on a slow machine and in the long form."""
    kills = int(os.environ.get("REMORA_FAULT_KILLS") or _FEW)
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.timeout(300 + 8 * kills))
