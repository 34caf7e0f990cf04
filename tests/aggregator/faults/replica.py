"""An aggregator as a process that is killed and started again, always at one address."""

import asyncio
import json
import os
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.aggregator.faults.relay import Relay, relaying, to_tcp

from remora.errors import Unavailable
from remora.testing.server_process import ServerProcess, part_command

_NOWHERE = "127.0.0.1:1"
_ASK_S = 10


@dataclass(frozen=True, slots=True)
class Readiness:
    """What `/readyz` said."""

    ready: bool
    problems: tuple[str, ...]


class Replica:
    """One aggregator's process; a relay stands before it.

    Attributes:
        server: The process; None while there is none.
        relay: How clients reach it.
        kills: How often it was killed.
    """

    relay: Relay

    def __init__(self, folder: Path, **settings: object) -> None:
        """Take a folder for its data and log, and its settings."""
        self.server: ServerProcess | None = None
        self.kills = 0
        self.log = folder / "aggregator.log"
        used = {
            "listen": "127.0.0.1:0", "data_dir": folder / "data",
            "queries_per_s": 0, "messages_per_s": 0, "records_per_s": 0, "drain_s": 0.5,
        } | settings  # fmt: skip
        self.data_dir = Path(str(used["data_dir"]))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            **{f"REMORA_AGGREGATOR_{name.upper()}": str(value) for name, value in used.items()},
        }

    @property
    def address(self) -> str:
        """What clients dial, whichever process there is."""
        return self.relay.address

    def own_address(self) -> str:
        """Where the process itself listens."""
        return _NOWHERE if self.server is None else str(self.server.ready["address"])

    def start(self, *before: str) -> None:
        """Start it; raises Unavailable, with what it said, if it does not serve.

        Args:
            before: What runs the command, such as ``setpriv …``.
        """
        command = [*before, *part_command("aggregator", "--ready-json")]
        self.server = ServerProcess("aggregator", command, self.environment, self.log)

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        if self.server is not None:
            self.server.kill()
            self.server, self.kills = None, self.kills + 1

    def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    async def restarted(self, *, tries: int = 1) -> None:
        """Kill it, and start it again; while its database is away that may take some tries."""
        await asyncio.to_thread(self.kill)
        for left in reversed(range(tries)):
            try:
                await asyncio.to_thread(self.start)
                return
            except Unavailable:
                if not left:
                    raise

    def readiness(self) -> Readiness:
        """Ask it whether it is ready."""
        said = self._http("/readyz")
        return Readiness(said["ready"], tuple(said["problems"]))

    def _http(self, path: str) -> Any:
        assert self.server is not None
        url = f"http://{self.server.ready['http_address']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=_ASK_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)


@asynccontextmanager
async def replica(folder: Path, **settings: object) -> AsyncIterator[Replica]:
    """Make one, not started yet; finally it is stopped."""
    folder.mkdir(exist_ok=True, parents=True)  # noqa: ASYNC240
    made = Replica(folder, **settings)
    async with relaying(to_tcp(made.own_address)) as relay:
        made.relay = relay
        try:
            yield made
        finally:
            await asyncio.to_thread(made.stop)
