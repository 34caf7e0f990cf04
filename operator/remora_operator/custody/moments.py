"""The custodian's clock as dates."""

from datetime import UTC, datetime

from remora.clock import Clock

_NS_PER_S = 1_000_000_000


def wall_time(clock: Clock) -> datetime:
    """Return what is now, UTC, in whole seconds as certificates have them."""
    return datetime.fromtimestamp(clock.now_unix_ns() // _NS_PER_S, UTC)
