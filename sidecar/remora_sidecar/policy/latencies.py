"""How fast providers' models answered lately: what `fastest` chooses by. Pure."""

from collections import OrderedDict
from dataclasses import dataclass

_WEIGHT_OF_NEWEST = 0.2
"""Of an exponentially weighted mean, so that some twenty answers decide."""

FRESH_S = 300.0
"""An estimate that nothing has renewed for so long is none: what was slow may be fast again."""

MAX_KEPT = 4096

Key = tuple[str, str]
"""Provider and model."""


@dataclass(slots=True)
class _Mean:
    seconds: float
    renewed_s: float


class Latencies:
    """Means of the time to the first output, by provider and model; bounded."""

    def __init__(self) -> None:
        """Start without any."""
        self._means: OrderedDict[Key, _Mean] = OrderedDict()

    def add(self, provider: str, model: str, seconds: float, now_s: float) -> None:
        """Take one answer's time."""
        key = (provider, model)
        mean = self._means.get(key)
        if mean is None or now_s - mean.renewed_s > FRESH_S:
            self._means[key] = _Mean(seconds, now_s)
        else:
            mean.seconds += _WEIGHT_OF_NEWEST * (seconds - mean.seconds)
            mean.renewed_s = now_s
        self._means.move_to_end(key)
        if len(self._means) > MAX_KEPT:
            self._means.popitem(last=False)

    def expected_s(self, provider: str, model: str, now_s: float) -> float | None:
        """Say how long the first output is likely to take; None if nothing recent is known."""
        mean = self._means.get((provider, model))
        if mean is None or now_s - mean.renewed_s > FRESH_S:
            return None
        return mean.seconds
