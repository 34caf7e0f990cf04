"""The last policy that was in force, kept in the data directory for the next start.

It is the document that travels, whole, behind one line that says whose it was and which version:
what came from files is never taken for an operator's, nor the other way round. Written after the
policy is in force, never before.
"""

import logging
import threading
from pathlib import Path

from remora.errors import ConfigError, Problem
from remora.policy import EffectivePolicy, effective_from_canonical
from remora_sidecar.atomic_file import write_atomically

logger = logging.getLogger(__name__)

LAST_POLICY_FILE = "last-policy"

_HEAD = "remora-last-policy 1"


class LastPolicy:
    """One origin's last good policy.

    Attributes:
        problem: Why the policy in force is not kept; empty if it is.
    """

    def __init__(self, folder: Path, origin: str) -> None:
        """Take the data directory and whose policy is kept: ``files`` or ``operator``."""
        self.problem = ""
        self._path = folder / LAST_POLICY_FILE
        self._origin = origin
        self._kept = ""
        self._writing = threading.Lock()

    def read(self) -> EffectivePolicy | None:
        """Read what an earlier run left; None where it left nothing of this origin.

        Raises:
            ConfigError: It is there and can't be used.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(f"can't be read: {error.strerror or error}") from error
        head, _, document = content.partition(b"\n")
        name, _, version = head.decode("ascii", "replace").rpartition(" ")
        if not name.startswith(_HEAD):
            raise self._unusable("was not written by this release: delete it")
        if name != f"{_HEAD} {self._origin}":
            return None
        return effective_from_canonical(document, version)

    def keep(self, effective: EffectivePolicy) -> None:
        """Keep a policy that is in force; a disk that takes nothing is said, not raised."""
        with self._writing:
            if effective.version != self._kept:
                self._write(effective)

    def _write(self, effective: EffectivePolicy) -> None:
        head = f"{_HEAD} {self._origin} {effective.version}\n".encode()
        try:
            write_atomically(self._path, head + effective.canonical, mode=0o600)
        except OSError as error:
            self._unkept(error)
            return
        self._kept = effective.version
        self.problem = ""

    def _unkept(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        problem = f"the policy in force is not kept for a restart: {self._path}: {reason}"
        if problem != self.problem:
            logger.error("%s", problem)
        self.problem = problem

    def _unusable(self, what: str) -> ConfigError:
        return ConfigError([Problem(str(self._path), what)])
