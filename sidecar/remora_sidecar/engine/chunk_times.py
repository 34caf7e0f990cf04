"""How long a stream's chunks let the agent wait: one per call, fed on the hot path."""

from remora.telemetry.genai_names import DURATION_BOUNDS_S
from remora_sidecar.engine.spread import Spread


class ChunkTimes:
    """Measures the time from each chunk of an answer to the next.

    Attributes:
        gaps: What was measured; None before the second chunk.
    """

    __slots__ = ("_last_s", "gaps")

    def __init__(self) -> None:
        """Stand before the first chunk."""
        self.gaps: Spread | None = None
        self._last_s: float | None = None

    def chunk(self, now_s: float) -> None:
        """Take note of a chunk that came now, by the monotonic clock."""
        if self._last_s is not None:
            if self.gaps is None:
                self.gaps = Spread(DURATION_BOUNDS_S)
            self.gaps.add(now_s - self._last_s)
        self._last_s = now_s
