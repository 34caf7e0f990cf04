"""A sidecar that samples itself: `python -m bench.sampled_sidecar OUT_FILE`.

Every millisecond of CPU time the kernel sends a signal; its handler, which runs between two
bytecodes of the main thread, counts the room and the function that were at work. SIGUSR2
starts counting afresh, after the warm-up; the counts are written at the end.
"""

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from bench.rooms import room_of_stack

_INTERVAL_S = 0.001


class Sampler:
    """Counts what the main thread is at."""

    def __init__(self) -> None:
        """Start from nothing."""
        self.rooms: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()

    def install(self) -> None:
        """Sample from now on."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR2, self._forget)
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        self.rooms[room_of_stack(_modules(frame))] += 1
        if frame is not None:
            module = frame.f_globals.get("__name__", "?")
            self.functions[f"{module}.{frame.f_code.co_qualname}"] += 1

    def _forget(self, _: int, __: FrameType | None) -> None:
        self.rooms.clear()
        self.functions.clear()

    def write(self, path: Path) -> None:
        """Stop, and keep the counts."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        counts = {"rooms": self.rooms, "functions": dict(self.functions.most_common(100))}
        path.write_text(json.dumps(counts))


def _modules(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_globals.get("__name__", "")
        frame = frame.f_back


def main(out: str) -> None:
    """Run a sidecar to its end, sampled."""
    from remora_sidecar.commands.sidecar import command

    sampler = Sampler()
    sampler.install()
    try:
        command(["--ready-json"], standalone_mode=False)
    finally:
        sampler.write(Path(out))


if __name__ == "__main__":
    main(sys.argv[1])
