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
    """Run an aggregator that forgets everything when it ends, and sheds nothing before.

    Records of a test came when the test says, be it in 1970: upkeep, which runs whenever its
    task gets its turn, would take them away again.

    Args:
        clock: Where the time of reception comes from.
        **settings: Other settings than a free port, a temporary folder and keeping for good.
    """
    with tempfile.TemporaryDirectory(prefix="remora-aggregator-") as folder:
        free = {"listen": "127.0.0.1:0", "data_dir": Path(folder), "drain_s": 0.0}
        kept = dict.fromkeys(("keep_records", "keep_bodies", "keep_signals"))
        used = {**free, **kept, **settings}
        async with running_aggregator(AggregatorSettings(**used), clock=clock) as aggregator:
            yield aggregator
