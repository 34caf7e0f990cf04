"""Policy files that are edited while the sidecar runs.

Looked at several times a second, since mounted ConfigMaps tell nobody when they change; read only
when something about them has changed. A change counts once it has rested for some looks: a file
that is being written may hold half of what it will. What can't be read never half-applies: the
last good policy stays, and health says why.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from remora.errors import ConfigError, Problem
from remora.policy import (
    PolicyDocuments,
    load_documents,
    look_at_policy_files,
    read_policy_files,
)
from remora.policy.files import FileMark
from remora_sidecar.policy import PolicySnapshot, snapshot_from_documents
from remora_sidecar.settings import SidecarSettings

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.15
LOOKS_AT_REST = 2
"""Further looks that have to see the same: 0.45 s after it a change is read, at the latest; the
rest of a second is for compiling it."""

Apply = Callable[[PolicySnapshot], Awaitable[None]]


class PolicyFiles:
    """The files of one sidecar's policy.

    Attributes:
        problem: Why what stands in them now is not in force; empty if it is.
        refused_total: How often that has happened.
    """

    origin = "files"

    def __init__(self, settings: SidecarSettings) -> None:
        """Take where the files are; none were read yet."""
        self.problem = ""
        self.refused_total = 0
        self._settings = settings
        self._texts: Mapping[str, str] | None = None
        self._had_documents = False
        self._done: tuple[FileMark, ...] | str = ()
        self._seen: tuple[FileMark, ...] | str = ()
        self._equal_looks = 0

    def load(self) -> PolicySnapshot:
        """Read and compile the files; raises ConfigError with every problem."""
        self._done = self._look()
        texts = self._read()
        snapshot = self._compiled(texts)
        self._texts = texts
        return snapshot

    def replaced(self, error: ConfigError) -> None:
        """Take that another policy is in force, since the files could not be loaded."""
        self._had_documents = True
        self._refuse(error)

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should look at."""
        return (self.problem,) if self.problem else ()

    @property
    def are_given(self) -> bool:
        """Whether there are any."""
        return self._settings.policy is not None

    @property
    def watchable(self) -> bool:
        """Whether the files can be read again; a pipe can't."""
        path = self._settings.policy
        return path is not None and (path.is_dir() or path.is_file())

    async def watch(self, apply: Apply) -> None:
        """Apply what the files come to say, for as long as the sidecar runs."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            snapshot = await asyncio.to_thread(self.changed)
            if snapshot is not None:
                await apply(snapshot)

    def changed(self) -> PolicySnapshot | None:
        """Look again; None if the files say what they said, or nothing that can be used."""
        marks = self._look()
        if marks == self._done or not self._is_at_rest(marks):
            return None
        try:
            texts = self._read()
        except ConfigError as error:
            self._refuse(error)  # and read again at the next look: the reason may go unseen
            return None
        if self._look() != marks:
            return None
        self._done = marks
        return self._taken(texts)

    def _taken(self, texts: Mapping[str, str]) -> PolicySnapshot | None:
        snapshot = None
        if texts != self._texts:
            try:
                snapshot = self._compiled(texts)
            except ConfigError as error:
                self._refuse(error)
                return None
        self._texts = texts
        self.problem = ""
        return snapshot

    def _is_at_rest(self, marks: tuple[FileMark, ...] | str) -> bool:
        """Tell whether enough looks in a row saw the same: files, or why there are none."""
        self._equal_looks = self._equal_looks + 1 if marks == self._seen else 0
        self._seen = marks
        return self._equal_looks >= LOOKS_AT_REST

    def _refuse(self, error: ConfigError) -> None:
        said = "; ".join(map(str, error.problems))
        problem = f"the policy as it stands now can't be used, the last good one stays: {said}"
        if problem != self.problem:
            self.problem = problem
            self.refused_total += 1
            logger.error("%s", problem)

    def _look(self) -> tuple[FileMark, ...] | str:
        path: Path | None = self._settings.policy
        try:
            return () if path is None else look_at_policy_files(path)
        except ConfigError as error:
            return str(error)

    def _read(self) -> Mapping[str, str]:
        path: Path | None = self._settings.policy
        return {} if path is None else read_policy_files(path)

    def _compiled(self, texts: Mapping[str, str]) -> PolicySnapshot:
        settings = self._settings
        documents = load_documents(texts)
        self._check_some_are_left(documents)
        preset = None if settings.preset == "none" else settings.preset
        snapshot = snapshot_from_documents(documents, settings.labels, preset)
        for note in snapshot.effective.notes:
            logger.warning("%s", note)
        return snapshot

    def _check_some_are_left(self, documents: PolicyDocuments) -> None:
        """Refuse files that came to hold nothing: that would lift every rule there was."""
        if documents != PolicyDocuments():
            self._had_documents = True
        elif self._had_documents:
            what = "no document is left; to lift all rules write an LLMPolicy without a spec"
            raise ConfigError([Problem(str(self._settings.policy), what)])
