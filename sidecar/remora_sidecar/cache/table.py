"""The table of answers in one SQLite file: a bounded map of bytes, least used out first.

Called by `AnswerFile` from one thread at a time. Order of use is a counter, not a clock; uses are
written down with the next change.
"""

from contextlib import closing
from pathlib import Path

from remora_sidecar.sqlite_file import open_alone, pragma, transaction, used_pages

PAGE_BYTES = 4096
SMALLEST_LIMIT_BYTES = 64 * PAGE_BYTES

_VERSION = 1
"""Of the table below; the schema's `user_version`."""
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    expires_ns INTEGER NOT NULL,
    used INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE INDEX answers_by_use ON answers (used);
CREATE INDEX answers_by_expiry ON answers (expires_ns);
PRAGMA user_version = 1;
COMMIT;
"""
_AT_ONCE = 32
"""Rows that go in one step."""
_ROW_PAGES = 6
"""What a row may take besides its value: leaves of the table and its indexes that split."""
_USES_WAITING = 512

_GET = "SELECT value, expires_ns FROM answers WHERE key = ?"
_HAS = "SELECT 1 FROM answers WHERE key = ?"
_INSERT = "INSERT INTO answers (key, expires_ns, used, value) VALUES (?, ?, ?, ?)"
_DELETE = "DELETE FROM answers WHERE key = ?"
_EXPIRE = "DELETE FROM answers WHERE id IN (SELECT id FROM answers WHERE expires_ns <= ? LIMIT ?)"
_EVICT = "DELETE FROM answers WHERE id IN (SELECT id FROM answers ORDER BY used LIMIT ?)"
_USE = "UPDATE answers SET used = ? WHERE key = ?"


class AnswerTable:
    """One open file; every method may raise `sqlite3.Error`, and changes nothing then.

    Attributes:
        entries: Rows now.
        evicted: Rows given up for the bound.
        expired: Rows removed after their time.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Open or make the file.

        Raises:
            sqlite3.Error: It can't be opened, is broken, or another program has it.
            OSError: Its folder can't be made.
        """
        self.evicted = self.expired = self.entries = 0
        self._next_use = 1
        self._uses: dict[str, int] = {}
        self._connection = open_alone(
            path, _SCHEMA, _VERSION, page_bytes=PAGE_BYTES, gives_back=True
        )
        try:
            self._count()
            self.resize(limit_bytes)
        except BaseException:
            self._connection.close()
            raise

    def _count(self) -> None:
        # Counts over an index: no answer is read.
        self.entries, self._next_use = self._connection.execute(
            "SELECT count(*), coalesce(max(used), 0) + 1 FROM answers"
        ).fetchone()

    def get(self, key: str) -> tuple[bytes, int] | None:
        """Return the value and when it expires; it is then the last used."""
        with closing(self._connection.execute(_GET, (key,))) as rows:
            found: tuple[bytes, int] | None = rows.fetchone()
        if found is not None:
            self._uses[key] = self._use()
            if len(self._uses) >= _USES_WAITING:
                self.write_uses()
        return found

    def has(self, key: str) -> bool:
        """Tell whether there is a value; it does not count as used."""
        with closing(self._connection.execute(_HAS, (key,))) as rows:
            return rows.fetchone() is not None

    def put(self, key: str, value: bytes, *, expires_ns: int, now_ns: int) -> bool:
        """Keep a value; False if it is too large for the file."""
        needed = len(value) // PAGE_BYTES + 1 + _ROW_PAGES
        if needed > self._limit_pages // 4:
            return False
        with transaction(self._connection):
            self._write_uses()
            expired = self._delete(_EXPIRE, (now_ns, _AT_ONCE))
            evicted = self._make_room(needed)
            replaced = self._delete(_DELETE, (key,))
            row = (key, expires_ns, self._use(), value)
            self._connection.execute(_INSERT, row)
        self._uses.clear()
        self.expired += expired
        self.evicted += evicted
        self.entries += 1 - replaced - expired - evicted
        return True

    def remove(self, key: str) -> None:
        """Forget one value."""
        self._uses.pop(key, None)
        with transaction(self._connection):
            self.entries -= self._delete(_DELETE, (key,))

    def clear(self) -> None:
        """Forget everything and give the disk its room back."""
        self._uses.clear()
        with transaction(self._connection):
            self._connection.execute("DELETE FROM answers")
        self.entries = 0
        self._give_back()

    def write_uses(self) -> None:
        """Write down what was used since the last change."""
        with transaction(self._connection):
            self._write_uses()
        self._uses.clear()

    def flush(self) -> None:
        """Make everything outlive a loss of power."""
        self.write_uses()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def resize(self, limit_bytes: int) -> None:
        """Change the bound of the file; what is over it goes."""
        self._limit_pages = max(limit_bytes, SMALLEST_LIMIT_BYTES) // PAGE_BYTES
        with transaction(self._connection):
            evicted = self._make_room(0)
        self.evicted += evicted
        self.entries -= evicted
        if pragma(self._connection, "page_count") > self._limit_pages:
            self._give_back()
        self._connection.execute(f"PRAGMA max_page_count = {self._limit_pages}")

    @property
    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        return used_pages(self._connection) * PAGE_BYTES

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        try:
            self.write_uses()
        finally:
            self._connection.close()

    # Inside a transaction.

    def _make_room(self, pages: int) -> int:
        """Remove the least used until so many pages fit; returns how many rows went."""
        evicted = 0
        while used_pages(self._connection) + pages > self._limit_pages:
            gone = self._delete(_EVICT, (1 if evicted < _AT_ONCE else _AT_ONCE,))
            if not gone:
                break
            evicted += gone
        return evicted

    def _delete(self, statement: str, arguments: tuple[object, ...]) -> int:
        return int(self._connection.execute(statement, arguments).rowcount)

    def _write_uses(self) -> None:
        uses = [(use, key) for key, use in self._uses.items()]
        self._connection.executemany(_USE, uses)

    # Figures.

    def _use(self) -> int:
        self._next_use += 1
        return self._next_use

    def _give_back(self) -> None:
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()
