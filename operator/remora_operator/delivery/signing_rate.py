"""How often one pod may have certificates signed. Pure: a clock's seconds in, decisions out."""

from collections import OrderedDict
from dataclasses import dataclass

BURST = 20
EVERY_S = 20.0
"""A sidecar needs two certificates a day, one for each start and for each host that is added."""

_MAX_PODS = 50_000


@dataclass(slots=True)
class _Bucket:
    """What is left, and since when nothing was added to it."""

    left: float
    since_s: float


class SigningRate:
    """A token bucket for each pod; those that nobody draws on are forgotten."""

    def __init__(self, *, burst: int = BURST, every_s: float = EVERY_S) -> None:
        """Start with nobody known.

        Args:
            burst: How many may come at once.
            every_s: How long it takes until there is one more.
        """
        self._burst = burst
        self._every_s = every_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, pod_uid: str, now_s: float) -> float:
        """Take one; 0 if there was one, else the seconds until there is.

        Args:
            pod_uid: Whose bucket.
            now_s: By a monotonic clock.
        """
        bucket = self._buckets.pop(pod_uid, None) or _Bucket(self._burst, now_s)
        filled = bucket.left + (now_s - bucket.since_s) / self._every_s
        bucket.left, bucket.since_s = min(float(self._burst), filled), now_s
        self._buckets[pod_uid] = bucket
        if len(self._buckets) > _MAX_PODS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return (1 - bucket.left) * self._every_s
        bucket.left -= 1
        return 0.0
