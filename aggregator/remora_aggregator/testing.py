"""An aggregator for tests: the real one, on a free port, in a folder of its own."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from remora.clock import Clock
from remora_aggregator.server import Aggregator, running_aggregator
from remora_aggregator.settings import AggregatorSettings


@asynccontextmanager
async def temporary_aggregator(
    *, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Aggregator]:
    """Run an aggregator that forgets everything when it ends.

    Args:
        clock: Where the time of reception comes from.
        **settings: Other settings than a free loopback port and a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="remora-aggregator-") as folder:
        used = {"listen": "127.0.0.1:0", "data_dir": Path(folder), "drain_s": 0.0, **settings}
        async with running_aggregator(AggregatorSettings(**used), clock=clock) as aggregator:
            yield aggregator
