"""How much an aggregator takes in, durably, and how soon it says so."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from statistics import median

from bench.cores import OTHERS_CORE
from bench.figure import Better, Figure, Target
from bench.store.servers import (
    AggregatorProcess,
    Load,
    Taken,
    indexed,
    reported,
    started_aggregator,
)

_BARE, _BODIES, _PACED = 5_000.0, 1_500.0, 5_000.0
_ACKNOWLEDGED_MS, _RESIDENT_MB = 50.0, 150.0
_OF_THE_OTHER = 0.7
_WITHOUT_BODIES, _WITH_BODIES = "without bodies", "with 4 KB bodies"


def ingest(
    folder: Path, rounds: int, records: int, settings: Mapping[str, str], kind: str
) -> list[Figure]:
    """Report without bodies, with bodies of 4 KB, and at a pace.

    Args:
        folder: Where the store goes.
        rounds: How often each is measured, in turns.
        records: How many a round of records without bodies has.
        settings: Where the store is, if not in the folder.
        kind: What it is called.
    """
    taken: dict[str, list[Taken]] = {"bare": [], "bodies": [], "paced": []}
    word_us = []
    numbers = count(1)
    with started_aggregator(folder, settings) as aggregator:
        for _ in range(rounds):
            for name, load in _loads(records).items():
                first = next(numbers) * 100
                taken[name].append(_measured(load, first, aggregator))
                if load.bodies_bytes:
                    # Else they would be indexed while the next ones are measured.
                    word_us.append(indexed(aggregator) / load.records * 1e6)
        resident = aggregator.resident_mb
    barred = kind == "SQLite"
    return [
        _rate(kind, _WITHOUT_BODIES, taken["bare"], _BARE if barred else None),
        _rate(kind, _WITH_BODIES, taken["bodies"], _BODIES if barred else None,
              f", and {median(word_us):.0f} µs later for the words that were left"),
        _acknowledged(kind, taken["paced"], barred=barred),
        Figure(
            f"store_{kind}_resident", f"{kind}: memory after it", "MB",
            Target(Better.LESS, _RESIDENT_MB, unit=" MB") if barred else None,
            values={"remora": resident}, verdict=resident, verdict_unit=" MB",
        ),
    ]  # fmt: skip


def _loads(records: int) -> Mapping[str, Load]:
    return {
        "bare": Load(records),
        "bodies": Load(records // 5, bodies_bytes=4096),
        # As sidecars do that are not behind: few records in a message.
        "paced": Load(records // 2, batch=25, rate=_PACED * 0.8),
    }


def _measured(load: Load, first: int, aggregator: AggregatorProcess) -> Taken:
    numbered = Load(load.records, load.reporters, load.batch, load.rate, load.bodies_bytes, first)
    return reported(numbered, aggregator)


def _rate(kind: str, what: str, taken: list[Taken], bar: float | None, more: str = "") -> Figure:
    rates = [each.per_second for each in taken]
    cpu_us = median(each.cpu_us for each in taken)
    return Figure(
        _name(kind, what),
        f"{kind}: records/s {what}, 20 reporters, one core",
        "1/s",
        None if bar is None else Target(Better.MORE, bar, unit="/s"),
        values={"remora": median(rates)},
        rounds={"remora": rates},
        verdict=median(rates),
        verdict_unit="/s",
        note=f"{cpu_us:.0f} µs of the aggregator's CPU a record{more}",
    )


def _name(kind: str, what: str) -> str:
    return f"store_{kind}_{what.replace(' ', '_')}"


def compared(found: Sequence[Figure], kind: str, other: str) -> list[Figure]:
    """Compare what two databases take in, where both were measured."""
    rates = {figure.name: figure.values["remora"] for figure in found if "remora" in figure.values}
    figures = []
    for what in (_WITHOUT_BODIES, _WITH_BODIES):
        ours, theirs = rates.get(_name(kind, what)), rates.get(_name(other, what))
        if ours and theirs:
            figures.append(
                Figure(
                    f"store_{kind}_of_{other}_{what.replace(' ', '_')}",
                    f"{kind}: records/s {what}, of {other}'s", "1/s",
                    Target(Better.MORE, _OF_THE_OTHER, unit="x"),
                    values={other: theirs, kind: ours},
                    verdict=ours / theirs, verdict_unit="x",
                )
            )  # fmt: skip
    return figures


def _acknowledged(kind: str, taken: list[Taken], *, barred: bool) -> Figure:
    waits_ms = [each.p99_s * 1000 for each in taken]
    return Figure(
        f"store_{kind}_acknowledged",
        f"{kind}: acknowledgement p99 at 4,000 records/s",
        "ms",
        Target(Better.LESS, _ACKNOWLEDGED_MS, unit=" ms") if barred else None,
        values={"remora": median(waits_ms)},
        rounds={"remora": waits_ms},
        verdict=median(waits_ms),
        verdict_unit=" ms",
        note=f"p50 {median(each.p50_s for each in taken) * 1000:.0f} ms",
    )


def two_replicas(
    folder: Path, rounds: int, records: int, settings: Mapping[str, str]
) -> list[Figure]:
    """Report to one replica and to two that share a database, in turns, on the same cores."""
    alone, both, cpu_us = [], [], []
    numbers = count(1)
    with (
        started_aggregator(folder / "first", settings) as first,
        started_aggregator(folder / "second", settings, core=OTHERS_CORE) as second,
    ):
        for _ in range(rounds):
            load = Load(records, first=10_000 + next(numbers) * 100)
            alone.append(reported(load, first).per_second)
            load = Load(records, first=10_000 + next(numbers) * 100)
            taken = reported(load, first, second)
            both.append(taken.per_second)
            cpu_us.append(taken.cpu_us)
    ratio = median(two / one for one, two in zip(alone, both, strict=True))
    return [
        Figure(
            "store_two_replicas", "PostgreSQL: two replicas' records/s, of one's", "1/s",
            Target(Better.MORE, 0.9, unit="x"),
            values={"one": median(alone), "two": median(both)},
            rounds={"one": alone, "two": both},
            verdict=ratio, verdict_unit="x",
            note=f"{median(cpu_us):.0f} µs of the replicas' CPU a record",
        )
    ]  # fmt: skip
