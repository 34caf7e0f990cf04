"""Follows an aggregator through its restarts: without gap, without repetition."""

import random
import time
from collections.abc import Callable, Iterable, Iterator

from remora.client.aggregator import AggregatorClient, AggregatorWatch
from remora.client.filter import RecordFilter
from remora.client.records import RecordClient
from remora.errors import Unavailable
from remora.records import StoredRecord

_PAUSE_FIRST_S = 0.2
_PAUSE_MOST_S = 5.0


def follow(
    connect: Callable[[], RecordClient],
    wanted: RecordFilter,
    *,
    earlier: Callable[[RecordClient], Iterable[StoredRecord]],
    say: Callable[[str], None],
    with_bodies: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[StoredRecord]:
    """Yield earlier records and then all that come, for as long as they are taken.

    Args:
        connect: Opens a client, with the credentials as they are now.
        wanted: Which records.
        earlier: Asks for those that come first, oldest first.
        say: Told once when the aggregator goes, and once when it is back.
        with_bodies: Whether captured bodies come too.
        sleep: How to wait between tries.

    Raises:
        Unavailable: Only before the first watch stands: later failures are waited out.
    """
    return follow_watch(
        connect,
        lambda client, cursor: client.watch(wanted, cursor=cursor, with_bodies=with_bodies),
        earlier=lambda client: ((stored, stored.cursor) for stored in earlier(client)),
        say=say,
        sleep=sleep,
    )


def follow_watch[C: AggregatorClient, T](
    connect: Callable[[], C],
    watch: Callable[[C, str], AggregatorWatch[T]],
    *,
    earlier: Callable[[C], Iterable[tuple[T, str]]],
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[T]:
    """Yield what was there and then all that a watch tells, for as long as it is taken.

    Args:
        connect: Opens a client, with the credentials as they are now.
        watch: Watches from after a cursor; from now, if that is empty.
        earlier: Gives what comes first, each with the cursor after it; empty: it has none.
        say: Told once when the aggregator goes, and once when it is back.
        sleep: How to wait between tries.

    Raises:
        Unavailable: Only before the first watch stands: later failures are waited out.
    """
    cursor, is_down, pause_s = "", False, _PAUSE_FIRST_S
    while True:
        try:
            with connect() as client:
                if not cursor:
                    start = _now(watch(client, ""))
                    for one, after in earlier(client):
                        yield one
                        start = after or start
                    cursor = start
                watching = watch(client, cursor)
                if is_down:
                    say("the aggregator is back")
                is_down, pause_s = False, _PAUSE_FIRST_S
                for one in watching:
                    yield one
                    cursor = watching.cursor
        except Unavailable as error:
            if not cursor:
                raise
            if not is_down:
                say(f"{error}; waiting for it")
            is_down = True
        sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - spreads tries, guards nothing
        pause_s = min(pause_s * 2, _PAUSE_MOST_S)


def _now[T](watch: AggregatorWatch[T]) -> str:
    """Return the cursor of now: taken before the past is read, so that nothing falls between."""
    watch.close()
    return watch.cursor
