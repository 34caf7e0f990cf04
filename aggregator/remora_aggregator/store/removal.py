"""Taking records away: those that are too old or too many, and those that somebody wants gone.

Each call removes one slice in one transaction, so that nobody who reports waits for long.
"""

from collections.abc import Iterator, Sequence

from remora_aggregator.store import retention
from remora_aggregator.store.committing import put
from remora_aggregator.store.port import Backend, Writing
from remora_aggregator.store.retention import SLICE_RECORDS, Retention, Slice
from remora_aggregator.store.selection import Selection
from remora_aggregator.store.sql import Statement, where
from remora_aggregator.store.totals import SPANS, Changes


def shed_facts(backend: Backend, part: Slice) -> int:
    """Remove old records; what they summed up to stays. Returns how many."""
    with backend.transaction() as writing:
        positions = _positions(writing, retention.oldest_records(part, backend.flavour))
        writing.delete(positions)
    return len(positions)


def shed_bodies(backend: Backend, part: Slice) -> int:
    """Remove old bodies. Returns how many records lost theirs."""
    with backend.transaction() as writing:
        positions = _positions(writing, retention.oldest_bodies(part, backend.flavour))
        writing.delete_bodies(positions)
    return len(positions)


def shed_totals(backend: Backend, keep: Retention, now_unix_ns: int) -> None:
    """Remove totals that are older than what they are kept for."""
    statements = retention.old_totals(keep, now_unix_ns, backend.flavour)
    if statements:
        with backend.transaction() as writing:
            for statement in statements:
                writing.run(statement)


def purge(backend: Backend, chosen: Selection) -> int:
    """Remove records that are meant, and take them out of all sums. Returns how many.

    Whoever purges asks again until none are left, and then calls `purge_totals`.
    """
    written = where(chosen, backend.flavour)
    statement = Statement(
        f"select position from records where {written.sql} "  # noqa: S608 - our own words
        f"order by position limit {backend.flavour.mark}",
        (*written.parameters, SLICE_RECORDS),
    )
    with backend.transaction() as writing:
        positions = _positions(writing, statement)
        changes = Changes()
        for facts in writing.facts_at(positions):
            changes.count(facts, -1)
        writing.delete(positions)
        put(writing, changes)
    return len(positions)


def purge_totals(backend: Backend, chosen: Selection) -> None:
    """Remove the totals of the spans, or of the whole namespaces, that were purged.

    Records that were shed before left them behind.
    """
    with backend.transaction() as writing:
        for statement in _leftovers(chosen, backend.flavour.mark):
            writing.run(statement)


def _leftovers(chosen: Selection, mark: str) -> Iterator[Statement]:
    of_span = (
        f"delete from span_totals where namespace = {mark} and kind = {mark} and span_id = {mark}"  # noqa: S608 - our own words
    )
    for namespace in chosen.namespaces or ():
        for kind in SPANS:
            if span_id := chosen.equal(kind):
                yield Statement(of_span, (namespace, kind, span_id))
        if _is_whole(chosen):
            for table in ("span_totals", "period_totals"):
                text = f"delete from {table} where namespace = {mark}"  # noqa: S608 - as above
                yield Statement(text, (namespace,))


def _is_whole(chosen: Selection) -> bool:
    narrows = (chosen.conditions, chosen.residual, chosen.model, chosen.words)
    return not any(narrows) and not chosen.since_unix_ns and not chosen.until_unix_ns


def _positions(writing: Writing, statement: Statement) -> Sequence[int]:
    return [int(position) for (position,) in writing.run(statement)]  # type: ignore[arg-type]  # a number
