"""The cache of answers of a local sidecar, for programs that look after it."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from remora.errors import ConfigError, Problem
from remora.tracker.link import SidecarLink
from remora.tracker.places import connected_control
from remora.tracker.tracker import DEFAULT_CACHE_DIR

_ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105 - a file's name


class ResponseCache:
    """What calls may be answered with again; all trackers of the data directory share it.

    Answers are made and looked up by the sidecar alone, under keys of its own: a program can
    neither put one there nor read one.
    """

    def __init__(self, cache_dir: str | Path = DEFAULT_CACHE_DIR) -> None:
        """Name the data directory; its sidecar is started if none runs."""
        self._folder = Path(cache_dir)
        self._link = SidecarLink.connect(connected_control(self._folder))

    def flush(self) -> None:
        """Return when every answer would survive a loss of power."""
        self._link.flush_cache()

    def clear(self) -> None:
        """Forget every answer."""
        self._link.clear_cache()

    def stats(self) -> dict[str, Any]:
        """Give figures of each level: entries, bytes, hits, misses.

        Raises:
            ConfigError: The token of admin calls can't be read: it is the sidecar's owner's.
        """
        path = self._folder / _ADMIN_TOKEN_FILE
        try:
            token = path.read_text("ascii").strip()
        except OSError as error:
            raise ConfigError([Problem(str(path), f"can't be read: {error.strerror}")]) from error
        return self._link.cache_stats(token)

    def close(self) -> None:
        """Let go of the sidecar."""
        self._link.close()

    def __enter__(self) -> Self:
        """Do nothing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the sidecar."""
        self.close()
