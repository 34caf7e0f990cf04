"""Writes records to a file, as JSON lines or Parquet: in bounded memory, whole or not at all."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, Protocol

from remora.cli.record_json import record_json
from remora.errors import ConfigError, Problem
from remora.records import StoredRecord

JSON_LINES: Final = ".jsonl"
PARQUET: Final = ".parquet"

_GROUP_RECORDS = 5_000
_GROUP_BYTES = 32 * 1024 * 1024
"""Of captured bodies; what is written to Parquet together is held in memory."""

_SAID_EVERY = 1_000

type Say = Callable[[int], None]


class _Sink(Protocol):
    def write(self, stored: StoredRecord) -> None: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


def check_path(path: Path, *, replace: bool) -> Path:
    """Return where an export goes, links resolved.

    Raises:
        ConfigError: It can't go there; says what would do.
    """
    if path.suffix.lower() not in (JSON_LINES, PARQUET):
        what = f"should end in {JSON_LINES} or {PARQUET}, which says what is written"
        raise ConfigError([Problem(str(path), what)])
    path = path.resolve()
    if not path.parent.is_dir():
        raise ConfigError([Problem(str(path), f"there is no folder {path.parent}")])
    if path.exists() and not path.is_file():
        raise ConfigError([Problem(str(path), "is no file")])
    if path.exists() and not replace:
        raise ConfigError([Problem(str(path), "is there already; --force replaces it")])
    if path.suffix.lower() == PARQUET:
        _check_parquet()
    return path


def _check_parquet() -> None:
    try:
        import pyarrow.parquet  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        what = f"needs {error.name}, which is not installed: pip install 'remora[parquet]'"
        raise ConfigError([Problem("Parquet", what)]) from None


def export(records: Iterable[StoredRecord], path: Path, *, with_bodies: bool, progress: Say) -> int:
    """Write records to a file that `check_path` returned; returns how many.

    Args:
        records: Taken one by one.
        path: Where they go. It changes once all of them are written, or not at all. Only its
            owner may read it.
        with_bodies: Whether what was captured goes with them.
        progress: Told now and then how many were written.

    Raises:
        OSError: The file can't be written.
    """
    count = 0
    with _whole(path) as file, _sink(file, path, with_bodies) as sink:
        for stored in records:
            sink.write(stored)
            count += 1
            if count % _SAID_EVERY == 0:
                progress(count)
    return count


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Write beside the file, and put it in its place at the end."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sink(file: IO[bytes], path: Path, with_bodies: bool) -> AbstractContextManager[_Sink]:
    kind = _Parquet if path.suffix.lower() == PARQUET else _JsonLines
    return _closing(kind(file, with_bodies))


@contextmanager
def _closing(sink: _Sink) -> Iterator[_Sink]:
    try:
        yield sink
    except BaseException:
        with suppress(OSError):
            sink.abandon()
        raise
    sink.close()


class _JsonLines:
    def __init__(self, file: IO[bytes], with_bodies: bool) -> None:
        self._file = file
        self._with_bodies = with_bodies

    def write(self, stored: StoredRecord) -> None:
        shown = record_json(stored, with_bodies=self._with_bodies)
        self._file.write(json.dumps(shown, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class _Parquet:
    def __init__(self, file: IO[bytes], with_bodies: bool) -> None:
        import pyarrow.parquet

        from remora.cli import record_table

        self._tables = record_table
        self._with_bodies = with_bodies
        schema = record_table.SCHEMA_WITH_BODIES if with_bodies else record_table.SCHEMA
        self._writer: Any = pyarrow.parquet.ParquetWriter(file, schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._held_bytes = 0

    def write(self, stored: StoredRecord) -> None:
        self._rows.append(self._tables.row_of(stored, with_bodies=self._with_bodies))
        bodies = (stored.record.request_body, stored.record.response_body)
        self._held_bytes += sum(len(body.content) for body in bodies if body is not None)
        if len(self._rows) >= _GROUP_RECORDS or self._held_bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        table = self._tables.table_of(self._rows, with_bodies=self._with_bodies)
        self._writer.write_table(table)
        self._rows, self._held_bytes = [], 0

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Left open, it would write to the file when it is forgotten."""
        self._writer.close()
