"""What the kernel says of a running process."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_mb(pid: int) -> float:
    """Resident memory in MB (10^6 bytes)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_BYTES / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time that all its threads have used."""
    return _ticks(Path(f"/proc/{pid}/stat")) / _TICKS


def cpu_seconds_by_thread(pid: int) -> dict[int, float]:
    """CPU time by thread id."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(task.name): _ticks(task / "stat") / _TICKS for task in tasks}


def _ticks(stat: Path) -> int:
    # The name, in parentheses, may hold blanks.
    fields = stat.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
