"""Keeps the scores that the aggregator sent last, for a start without it.

One file of the data directory: a line with the digest of what follows, then each snapshot as it
came over the wire, after its length. Written by a thread, whole, at most every few seconds and only
if something changed.
"""

import asyncio
import hashlib
import logging
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from remora.score_wire import goal_scores_message
from remora_proto.v1 import scores_pb2 as pb
from remora_sidecar.atomic_file import write_atomically
from remora_sidecar.policy.score_book import ScoreBook, ScoreSnapshot
from remora_sidecar.score_watch import snapshot_of

logger = logging.getLogger(__name__)

SCORE_FILE: Final = "scores"
WRITE_EVERY_S: Final = 5.0
MAX_BYTES: Final = 8 * 1024 * 1024
"""What was made first is left out where all of it would be more."""

_HEAD: Final = b"remora-scores 1 "
_LENGTH: Final = struct.Struct(">I")


def written(snapshots: Sequence[ScoreSnapshot], max_bytes: int = MAX_BYTES) -> bytes:
    """Write snapshots, the newest first, as many as there is room for."""
    pieces, room = [], max_bytes
    for one in sorted(snapshots, key=lambda known: -known.made_unix_ns):
        message = goal_scores_message(
            one.scores, digest=one.digest, made_unix_ns=one.made_unix_ns, version=one.version
        ).SerializeToString()
        room -= _LENGTH.size + len(message)
        if room < 0:
            break
        pieces.append(_LENGTH.pack(len(message)) + message)
    content = b"".join(pieces)
    return _HEAD + hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def read(content: bytes) -> list[ScoreSnapshot]:
    """Read what was written.

    Raises:
        ValueError: It is not whole, or of a version that this one does not know.
    """
    head, _, rest = content.partition(b"\n")
    if not head.startswith(_HEAD):
        raise ValueError("it was not written by this release")
    if head.removeprefix(_HEAD) != hashlib.sha256(rest).hexdigest().encode():
        raise ValueError("it is not as it was written")
    try:
        return [snapshot_of(pb.GoalScores.FromString(one)) for one in _pieces(rest)]
    except (DecodeError, struct.error) as error:
        raise ValueError("it is not as it was written") from error


def _pieces(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size + length
        yield content[at - length : at]


class ScoreFile:
    """The file of one book.

    Attributes:
        problem: Why a restart forgets scores; empty if it does not.
    """

    def __init__(self, folder: Path, book: ScoreBook) -> None:
        """Name the folder, which is the sidecar's own; nothing is read before `load`."""
        self.problem = ""
        self._path = folder / SCORE_FILE
        self._book = book
        self._written = book.revision
        self._lock = threading.Lock()

    def load(self) -> None:
        """Take over what an earlier sidecar wrote; what can't be read counts as nothing known."""
        try:
            self._book.take_all(read(self._path.read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            self._said(f"{self._path} can't be read ({why}): learned routing begins anew")
        self._written = self._book.revision

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Write what changes, for as long as the sidecar runs."""
        while True:
            await sleep(WRITE_EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write the scores as they are now, if they changed."""
        if self._book.revision != self._written:
            await asyncio.to_thread(self._write, self._book.revision, self._book.snapshots())

    def _write(self, revision: int, snapshots: Sequence[ScoreSnapshot]) -> None:
        with self._lock:
            try:
                write_atomically(self._path, written(snapshots), mode=0o600)
            except OSError as error:
                why = error.strerror or error
                self._said(f"{self._path} can't be written ({why}): a restart forgets scores")
            else:
                self._written = revision
                self.problem = ""

    def _said(self, problem: str) -> None:
        if problem != self.problem:
            logger.error("%s", problem)
        self.problem = problem
