"""Fixtures of the tests that run whole programs: a pod, its sidecar, its agents."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remora.client.records import RecordClient
from remora.client.target import AggregatorTarget
from remora.records import CallRecord
from remora.testing.double import ProviderDouble
from remora.testing.network import DEFAULT_HOSTS, Network, simulated_network
from remora.testing.server_process import ServerProcess, part_command
from remora.trust import agent_environment

SIDECAR_UID = 1500
AGENT_UID = 1000
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - in a namespace
PLAIN_PROVIDER = """\
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {name: internal-vllm}
spec: {hosts: [vllm.example.net], ports: [8000], tls: false, dialects: [openai-chat]}
"""
HOSTS = {
    **DEFAULT_HOSTS,
    "generativelanguage.googleapis.com": ("203.0.113.30", "2001:db8:10::30"),
    "bedrock-runtime.us-east-1.amazonaws.com": ("203.0.113.40", "2001:db8:10::40"),
    "vllm.example.net": ("203.0.113.80", "2001:db8:10::80"),
}


def remora(*arguments: str) -> list[str]:
    """The command line of `remora`, run by this Python."""
    return [sys.executable, "-P", "-m", "remora", *arguments]


@dataclass
class PodStage:
    """A pod with a transparent sidecar and an aggregator, before a provider double.

    Attributes:
        double: Serves every public address, TLS and plain, on the ports it was given.
    """

    network: Network
    folder: Path
    double: ProviderDouble
    policy: str
    settings: Mapping[str, str]
    _servers: list[ServerProcess] = field(default_factory=list)

    @property
    def trust_dir(self) -> Path:
        """The folder that agents may read."""
        return self.folder / "trust"

    @property
    def aggregator(self) -> str:
        """Where the aggregator is, for every user and namespace."""
        return f"unix:{self.folder}/sidecar/aggregator.sock"

    def start(self) -> None:
        """Start the aggregator, apply the rules, start the sidecar."""
        for name in ("sidecar", "trust"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, SIDECAR_UID, SIDECAR_UID)
        (self.folder / "policy.yaml").write_text(f"{PLAIN_PROVIDER}---\n{self.policy}")
        (self.folder / "provider-ca.pem").write_text(self.double.ca_pem)
        self._serve(
            "aggregator",
            REMORA_AGGREGATOR_LISTEN=self.aggregator,
            REMORA_AGGREGATOR_DATA_DIR=f"{self.folder}/sidecar/records",
        )
        self.network.pod.run(remora("netinit"), env=self.environment(), check=True)
        self._serve(
            "sidecar",
            REMORA_MODE="transparent",
            REMORA_DATA_DIR=f"{self.folder}/sidecar/data",
            REMORA_TRUST_DIR=str(self.trust_dir),
            REMORA_AGGREGATOR=self.aggregator,
            REMORA_UPSTREAM_CA=f"{self.folder}/provider-ca.pem",
            REMORA_POLICY=f"{self.folder}/policy.yaml",
        )

    def environment(self, **more: str) -> dict[str, str]:
        """The environment that the pod's containers have in common, and more."""
        return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **self.settings, **more}

    def _serve(self, part: str, **settings: str) -> None:
        command = part_command(part, "--ready-json")
        argv = self.network.pod.argv(command, uid=SIDECAR_UID)
        log = self.folder / f"{part}.log"
        server = ServerProcess(part, argv, self.environment(**settings), log)
        self._servers.append(server)

    def stop_sidecar(self) -> None:
        """Stop it as a pod does; it delivers its records first."""
        assert self._servers.pop().stop() == 0

    def stop(self) -> None:
        """Stop everything that still runs."""
        while self._servers:
            self._servers.pop().stop()

    async def agent(
        self, command: Sequence[str], *, stdin: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run an agent's command to its end, as another user, with the trust variables alone."""
        base = self.environment(OPENAI_API_KEY="sk-agent", **variables)
        plan = agent_environment(self.trust_dir, None, base)
        return await asyncio.to_thread(
            self.network.pod.run,
            command,
            uid=AGENT_UID,
            env={**base, **plan.added},
            stdin=stdin,
        )

    async def python(self, program: str, *arguments: str, uid: int = AGENT_UID) -> Any:
        """Run a Python program in the pod and return the JSON it prints."""
        argv = [sys.executable, "-P", "-c", program, *arguments]
        base = self.environment(OPENAI_API_KEY="sk-agent")
        plan = agent_environment(self.trust_dir, None, base)
        done = await asyncio.to_thread(
            self.network.pod.run, argv, uid=uid, env={**base, **plan.added}
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def records(self) -> list[CallRecord]:
        """Stop the sidecar, and give every record that the aggregator has then."""
        await asyncio.to_thread(self.stop_sidecar)
        return await asyncio.to_thread(self._query)

    def _query(self) -> list[CallRecord]:
        with RecordClient(AggregatorTarget(self.aggregator)) as client:
            return [stored.record for stored in client.query()]


StagePod = Callable[..., AbstractAsyncContextManager[PodStage]]


@pytest.fixture(scope="session")
def stage_pod(namespaces_work: None, tmp_path_factory: pytest.TempPathFactory) -> StagePod:
    """Give what sets up a pod with its sidecar; settings are given as variables.

    ``family`` leaves the names only their IPv4 (0) or IPv6 (1) addresses.
    """

    @asynccontextmanager
    async def staged(
        *,
        family: int | None = None,
        ports: Sequence[int] = (443,),
        policy: str = "",
        **settings: str,
    ) -> AsyncIterator[PodStage]:
        hosts = {
            name: addresses if family is None else (addresses[family],)
            for name, addresses in HOSTS.items()
        }
        async with AsyncExitStack() as stack:
            made = stack.enter_context(simulated_network(hosts))
            double = ProviderDouble(names=sorted(HOSTS))
            stack.push_async_callback(double.aclose)
            await double.listen_on(
                *(made.internet.listen(host, port) for host in EVERYWHERE for port in ports)
            )
            folder = tmp_path_factory.mktemp("pod")
            stage = PodStage(made, folder, double, policy, settings)
            stack.push_async_callback(asyncio.to_thread, stage.stop)
            await asyncio.to_thread(stage.start)
            yield stage

    return staged
