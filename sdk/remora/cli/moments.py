"""Moments as people give them to a command: a span back from now, or a date. Pure."""

from datetime import UTC, datetime, tzinfo

_NS_PER_MS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXPECTED = "is neither a span such as 30m, 2h or 7d nor a time such as 2026-11-01T12:00"


def parse_moment(text: str, now_unix_ns: int, zone: tzinfo | None = None) -> int:
    """Read a moment as nanoseconds since the Unix epoch.

    Args:
        text: A span back from now, or an ISO 8601 date or time.
        now_unix_ns: What is now.
        zone: Where a time without offset is meant; None: the machine's zone.

    Raises:
        ValueError: It is none; the text says what would be right.
    """
    from remora.policy.quantities import Duration

    try:
        return max(now_unix_ns - Duration.parse(text).milliseconds * _NS_PER_MS, 0)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} {_EXPECTED}") from None
    return _unix_ns(moment if moment.tzinfo else _placed(moment, zone))


def _placed(moment: datetime, zone: tzinfo | None) -> datetime:
    return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)


def _unix_ns(moment: datetime) -> int:
    since = moment - _EPOCH
    return max((since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000, 0)


def local_time(unix_ns: int, zone: tzinfo | None = None) -> datetime:
    """Return a moment in a zone; None: the machine's zone."""
    return datetime.fromtimestamp(unix_ns // 10**9, UTC).astimezone(zone)


def iso_utc(unix_ns: int) -> str:
    """Write a moment as ISO 8601 in UTC, to the microsecond."""
    whole_s, rest_ns = divmod(unix_ns, 10**9)
    return f"{datetime.fromtimestamp(whole_s, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06}Z"
