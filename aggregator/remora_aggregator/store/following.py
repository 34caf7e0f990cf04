"""Records as they are committed, for whoever follows them over gRPC or HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from remora_aggregator.store.reading import Page
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.selection import Selection
from remora_aggregator.store.sql import Place


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a feed has got: everything up to a place was given, as far as it matches."""

    place: Place


async def feed(
    store: RecordStore, chosen: Selection, after: Place, woken: asyncio.Event, *, bodies: bool
) -> AsyncIterator[Page | Seen]:
    """Give the records after a place as they are committed, without gap or repetition.

    `Seen` says that there are no more yet: go on once `woken` is set, or earlier in vain.

    Args:
        store: Where they are.
        chosen: Which of them.
        after: Where to begin.
        woken: Set after each commit (`RecordStore.followed`).
        bodies: Whether to read captured bodies too.

    Raises:
        Unavailable: The store can't be read.
    """
    while True:
        woken.clear()
        last = await store.last_position()
        async for page in store.pages(chosen, after=after, bodies=bodies):
            yield page
            after = page.last or after
        # Cursors are positions in the order of commits: what does not match is passed over.
        after = Place(max(after.position, last))
        yield Seen(after)
