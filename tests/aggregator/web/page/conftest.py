"""A real browser in front of a real aggregator; whatever the page did wrong fails its test."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from remora.clock import SystemClock
from remora.learning.evidence import Evidence, Source
from remora_aggregator.server import Aggregator
from remora_aggregator.signals.signal import Signal
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.learning_signal_store import StoredSignals
from remora_aggregator.store.task_store import StoredTasks
from remora_aggregator.tasks import lifecycle
from remora_aggregator.tasks.amounts import NOTHING, Amount, Limit
from remora_aggregator.tasks.leases import AccountKey, Ask, LeaseSettings, Request, answered
from remora_aggregator.tasks.lifecycle import Asking, Terms
from remora_aggregator.tasks.states import Actor, ActorKind
from remora_aggregator.tasks.task import TaskKey
from remora_aggregator.testing import temporary_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

PATIENCE_MS = 10_000
expect.set_options(timeout=PATIENCE_MS)
_EXPECTED = ("Failed to load resource", "net::ERR_")
"""What the browser says by itself of answers that are no success; tests look at what is shown."""


@dataclass
class Served:
    """A running aggregator, and what stands in it."""

    aggregator: Aggregator

    @property
    def url(self) -> str:
        return f"http://{self.aggregator.http_address}"

    async def put(
        self,
        *records: pb.CallRecord,
        namespace: str = "local",
        pod: str = "p",
        received_ns: int | None = None,
    ) -> None:
        """Store records, as if they came now or at another time."""
        now_ns = received_ns or SystemClock().now_unix_ns()
        outcomes = await self.aggregator.store.write(list(records), Stamp(namespace, pod, now_ns))
        assert not [one.reason for one in outcomes if one.is_refused]

    async def greet(self, hello: pb.ReportRequest.Hello, state: pb.SidecarState) -> None:
        """Have a sidecar greet, and say how it stands."""

        async def said() -> AsyncIterator[pb.ReportRequest]:
            yield pb.ReportRequest(hello=hello, state=state)

        async with grpc.aio.insecure_channel(self.aggregator.address) as channel:
            async for _ in pb_grpc.RecordServiceStub(channel).Report(said()):
                pass

    async def lease(self, key: AccountKey, limit: Limit, spent: Amount = NOTHING) -> None:
        """Have a sidecar spend some of a shared budget, and lease some more."""
        tasks = StoredTasks(self.aggregator.store, SystemClock())
        request = Request("pod", [Ask("a", key, limit, spent, Amount(10**10, 1), NOTHING)])

        def decide(books: Any, now_unix_ns: int) -> Any:
            return answered(books, request, now_unix_ns, LeaseSettings())

        await tasks.change_books(request.wanted, decide)

    async def signal(self, *said: tuple[str, str, float]) -> None:
        """Have users say how good answers were: call, id of the signal, strength."""
        now_ns = SystemClock().now_unix_ns()
        signals = [
            Signal(
                "local", signal_id, call_id,
                Evidence(Source.EXPLICIT, strength, 1.0, now_ns // 10**6, signal_id, "user"),
                now_ns,
            )
            for call_id, signal_id, strength in said
        ]  # fmt: skip
        await StoredSignals(self.aggregator.store).take(signals)

    async def bound_task(self, task_id: str, picousd: int, title: str = "") -> None:
        """Give a task a budget of its own."""
        tasks = StoredTasks(self.aggregator.store, SystemClock())
        by = Actor(ActorKind.CALLER, "anna")

        def decide(entry: Any, now_unix_ns: int) -> Any:
            terms = Terms(Limit(picousd, None), title)
            return lifecycle.updated(entry, None, terms, Asking(by, "", now_unix_ns))

        await tasks.change_task(TaskKey("local", task_id), decide)


@dataclass
class Tab:
    """One page of the browser.

    Attributes:
        wrong: What the browser complained about.
    """

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    async def open(self, address: str = "") -> None:
        """Go to an address, which is what stands after the `#`, and wait for what it shows."""
        await self.page.goto(f"{self.url}/{address}")
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is being asked for."""
        await self.page.locator("#main > *").first.wait_for()
        await self.page.locator("[aria-busy]").first.wait_for(state="detached")

    def get(self, role: str, name: Any = None, **more: Any) -> Any:
        """Find something as people who listen to the page do."""
        return self.page.get_by_role(role, name=name, **more)  # type: ignore[arg-type]  # any role

    async def has(self, words: str) -> None:
        """Wait until words are shown."""
        await self.page.get_by_text(words).locator("visible=true").first.wait_for()


type OpenTab = Callable[..., AbstractAsyncContextManager[Tab]]
type Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """The browser, for all tests."""
    is_root = os.geteuid() == 0
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if is_root else []
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
def serve() -> Serve:
    """Give what runs an aggregator."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Served]:
        async with temporary_aggregator(**settings) as aggregator:
            yield Served(aggregator)

    return run


@pytest.fixture
def open_tab(browser: Browser) -> OpenTab:
    """Give what opens a page in a browser of its own, so to say: nothing of it is kept."""

    @asynccontextmanager
    async def run(
        url: str, *, width: int = 1280, scheme: str = "light", **options: Any
    ) -> AsyncIterator[Tab]:
        viewport = {"width": width, "height": 900}
        context = await browser.new_context(
            viewport=viewport,  # type: ignore[arg-type]  # it is one
            color_scheme=scheme,  # type: ignore[arg-type]  # it is one
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Berlin",
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        tab = Tab(await context.new_page(), url)
        _listen(context, tab)
        try:
            yield tab
        finally:
            await context.close()
        assert tab.wrong == []

    return run


def _listen(context: BrowserContext, tab: Tab) -> None:
    """Note what goes wrong; a browser reports violations of the policy on the console, too."""
    tab.page.on("pageerror", lambda error: tab.wrong.append(f"error: {error}"))

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_EXPECTED):
            tab.wrong.append(f"{message.type}: {message.text}")

    context.on("console", note)


@pytest_asyncio.fixture(loop_scope="session")
async def served(serve: Serve) -> AsyncIterator[Served]:
    """An aggregator that anybody on this machine may ask."""
    async with serve() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def tab(served: Served, open_tab: OpenTab) -> AsyncIterator[Tab]:
    """A page in front of it."""
    async with open_tab(served.url) as one:
        yield one


@pytest.fixture
def now_ns() -> int:
    """What time it is."""
    return SystemClock().now_unix_ns()
