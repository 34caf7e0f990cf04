"""Trackers of this process, with a local sidecar of their own in front of a provider double."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remora.testing.double import ProviderDouble
from remora.tracker.active import forget_untracked_causes
from remora.tracker.tracker import LLMTracker

NAMES = (
    "api.openai.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "cloudcode-pa.googleapis.com",
    "bedrock-runtime.us-east-1.amazonaws.com",
    "api.cohere.com",
    "models.example.com",
)
LIMIT_S = 60.0


@dataclass
class Provider:
    """A provider double on a loop of its own; methods are for any other thread."""

    double: ProviderDouble
    loop: asyncio.AbstractEventLoop

    def do(self, work: Callable[[], Any]) -> Any:
        """Call something on the double's own loop."""

        async def call() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(LIMIT_S)

    def script(self, *reactions: Any) -> None:
        """React so to the next requests."""
        self.do(lambda: self.double.script(*reactions))

    @property
    def models(self) -> list[str]:
        """The models that were asked for."""
        requests = self.do(lambda: list(self.double.requests))
        return [json.loads(request.body)["model"] for request in requests]

    @property
    def requests(self) -> int:
        """How many requests came."""
        return self.do(lambda: len(self.double.requests))


def until(asked: Callable[[], object]) -> None:
    """Ask a sidecar until what it answers is true: each look is a call, and its own turn."""
    end_s = time.monotonic() + LIMIT_S
    while not asked():
        assert time.monotonic() < end_s, "it did not come true"


@pytest.fixture(name="until")
def _until() -> Callable[[Callable[[], object]], None]:
    return until


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Run a provider double in a thread."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    made: list[ProviderDouble] = []
    stop: list[asyncio.Event] = []

    async def run() -> None:
        async with ProviderDouble(names=NAMES) as double:
            made.append(double)
            stop.append(asyncio.Event())
            started.set()
            await stop[0].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[run()], name="provider")
    thread.start()
    try:
        assert started.wait(LIMIT_S)
        yield Provider(made[0], loop)
    finally:
        loop.call_soon_threadsafe(stop[0].set)
        thread.join(LIMIT_S)
        loop.close()


def lead_to(provider: Provider, ca: Path, patch: pytest.MonkeyPatch) -> None:
    """Lead every sidecar that is started from now on to the double."""
    ca.write_text(provider.double.ca_pem)
    host, port = provider.double.address
    for name, value in {
        "REMORA_AGGREGATOR": "none",
        "REMORA_UPSTREAM_CA": str(ca),
        "REMORA_CONNECT_TO": f"::{host}:{port}",
        "REMORA_LISTEN": "127.0.0.1:0",
        "REMORA_CONTROL_LISTEN": "127.0.0.1:0",
        "REMORA_STATUS_LISTEN": "127.0.0.1:0",
        "REMORA_LINGER_S": "0.2",
    }.items():
        patch.setenv(name, value)
    for name in ("REMORA_GATEWAY_URL", "AGENTOPT_GATEWAY_URL", "REMORA_POLICY"):
        patch.delenv(name, raising=False)


@dataclass
class Stage:
    """A provider double and a sidecar that is kept between tests."""

    provider: Provider
    ca: Path
    data_dir: Path
    keeper: LLMTracker


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Keep one sidecar for the tests of a file: most of them need no other."""
    folder = tmp_path_factory.mktemp("tracker")
    with running_provider() as provider, pytest.MonkeyPatch.context() as patch:
        lead_to(provider, folder / "provider-ca.pem", patch)
        keeper = LLMTracker(cache_dir=folder / "data")
        keeper.start()
        yield Stage(provider, folder / "provider-ca.pem", folder / "data", keeper)
        keeper.close()


@pytest.fixture
def provider(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The double, asked nothing yet, and a sidecar that has cached nothing."""
    lead_to(stage.provider, stage.ca, monkeypatch)
    stage.keeper.clear_cache()
    stage.provider.do(stage.provider.double.requests.clear)
    forget_untracked_causes()
    return stage.provider


@pytest.fixture
def own_dir(tmp_path: Path) -> Path:
    """A data directory of the test's own: its sidecar is no other test's."""
    return tmp_path / "cache"


@pytest.fixture
def make_tracker(provider: Provider, stage: Stage) -> Iterator[Callable[..., LLMTracker]]:
    """Give what makes trackers; all are closed at the end."""
    made: list[LLMTracker] = []

    def make(**arguments: Any) -> LLMTracker:
        tracker = LLMTracker(**{"cache_dir": stage.data_dir, **arguments})
        made.append(tracker)
        return tracker

    yield make
    for tracker in made:
        tracker.close()


@pytest.fixture
def tracker(make_tracker: Callable[..., LLMTracker]) -> Iterator[LLMTracker]:
    """A tracker that is started."""
    with make_tracker() as made:
        yield made
