"""How long a run takes: the figures of record, or a quick look."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything.

    Attributes:
        rounds: Of each paired measurement.
        seconds: Of a round that counts per second.
        calls: Of a round that times single calls.
        flat_calls: Calls over which memory must stay flat.
        bulk_bytes: Size of a download over loopback.
        shaped_bytes: Size of a download over the shaped link.
    """

    rounds: int
    seconds: float
    calls: int
    flat_calls: int
    bulk_bytes: int
    shaped_bytes: int


FULL = Scale(
    rounds=9,
    seconds=3.0,
    calls=600,
    flat_calls=100_000,
    bulk_bytes=1 << 30,
    shaped_bytes=250_000_000,
)
QUICK = Scale(
    rounds=3,
    seconds=1.0,
    calls=150,
    flat_calls=5_000,
    bulk_bytes=1 << 28,
    shaped_bytes=60_000_000,
)
