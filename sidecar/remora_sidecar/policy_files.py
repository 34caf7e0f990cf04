"""Policy files that are edited while the sidecar runs.

Looked at every second, since mounted ConfigMaps tell nobody when they change. A change counts once
two looks have seen the same: a file that is being written may be empty, which would be no policy at
all. What can't be read never half-applies: the last good policy stays, and health says why.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from remora.errors import ConfigError
from remora.policy import load_documents, read_policy_files
from remora_sidecar.policy import PolicySnapshot, snapshot_from_documents
from remora_sidecar.settings import SidecarSettings

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0

Apply = Callable[[PolicySnapshot], Awaitable[None]]


class PolicyFiles:
    """The files of one sidecar's policy.

    Attributes:
        problem: Why what stands in them now is not in force; empty if it is.
    """

    def __init__(self, settings: SidecarSettings) -> None:
        """Take where the files are; none were read yet."""
        self.problem = ""
        self._settings = settings
        self._texts: Mapping[str, str] = {}
        self._seen: Mapping[str, str] | str = {}
        self._refused: object = None

    def load(self) -> PolicySnapshot:
        """Read and compile the files; raises ConfigError with every problem."""
        self._texts = self._seen = self._read()
        return self._compiled(self._texts)

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
                logger.warning("policy %s is in force, version %s", snapshot.name, snapshot.version)

    def changed(self) -> PolicySnapshot | None:
        """Read the files again; None if they say what they said, or nothing that can be used."""
        try:
            texts = self._read()
        except ConfigError as error:
            if self._is_at_rest(str(error)):
                self._refuse(error)
            return None
        if not self._is_at_rest(texts):
            return None
        if texts == self._texts:
            self.problem, self._refused = "", None
            return None
        try:
            snapshot = self._compiled(texts)
        except ConfigError as error:
            self._refuse(error)
            return None
        self._texts = texts
        self.problem, self._refused = "", None
        return snapshot

    def _is_at_rest(self, seen: Mapping[str, str] | str) -> bool:
        """Tell whether the look before saw the same: texts, or why there are none."""
        before, self._seen = self._seen, seen
        return seen == before

    def _refuse(self, error: ConfigError) -> None:
        said = "; ".join(map(str, error.problems))
        self.problem = f"the policy as it stands now can't be used, the last good one stays: {said}"
        if said != self._refused:
            self._refused = said
            logger.error("%s", self.problem)

    def _read(self) -> Mapping[str, str]:
        path: Path | None = self._settings.policy
        return {} if path is None else read_policy_files(path)

    def _compiled(self, texts: Mapping[str, str]) -> PolicySnapshot:
        settings = self._settings
        preset = None if settings.preset == "none" else settings.preset
        snapshot = snapshot_from_documents(load_documents(texts), settings.labels, preset)
        for note in snapshot.effective.notes:
            logger.warning("%s", note)
        return snapshot
