"""The HTTP side of an aggregator on a free port, a store behind it, and a client."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from remora.clock import Clock, SystemClock
from remora_aggregator.guard import guarding
from remora_aggregator.learning import learning
from remora_aggregator.service.audit_file import AUDIT_FILE, AuditFile
from remora_aggregator.service.gate import Admitted
from remora_aggregator.settings import AggregatorSettings
from remora_aggregator.store.facts import Stamp
from remora_aggregator.store.learning_score_store import StoredScores
from remora_aggregator.store.record_store import RecordStore
from remora_aggregator.store.sqlite.backend import opened
from remora_aggregator.web.front import Bounds
from remora_aggregator.web.serving import HttpSide, serving_http
from remora_proto.v1 import records_pb2 as pb

STARTED_NS = 1_760_000_000 * 10**9
"""2025-10-09T08:53:20Z, when call 0 began; the others a second apart."""

TOKENS = """
reader-token-0123456789  team-a         reader  anna
wide-token-01234567890   team-a,team-b  reader  ben
admin-token-0123456789   *              admin   carla
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes
    json: Any

    @property
    def call_numbers(self) -> list[int]:
        """The numbers of the calls of a page."""
        return [int(record["call_id"], 16) for record in self.json["records"]]


@dataclass
class Api:
    """A served store, and a program that asks."""

    http: HttpSide
    store: RecordStore
    client: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return int(self.http.address.rpartition(":")[2])

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        url = f"http://{self.http.address}{path}"
        async with self.client.request(method, url, **options) as answer:
            body = await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            parsed = await answer.json(content_type=None) if is_json and body else None
            return Answer(answer.status, answer.headers, body, parsed)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def put(self, *records: pb.CallRecord, namespace: str = "local", pod: str = "p") -> None:
        """Store records."""
        await self.store.write(list(records), Stamp(namespace, pod, STARTED_NS + 10**9))


OpenApi = Callable[..., AbstractAsyncContextManager[Api]]


def _call(number: int, **fields: Any) -> pb.CallRecord:
    """Make a record; numbers make different calls."""
    record = pb.CallRecord(
        call_id=f"{number:032x}",
        started_unix_nano=STARTED_NS + number * 10**9,
        provider="openai",
        operation="chat",
        requested_model="gpt-4o",
        status_code=200,
        end_reason=pb.END_REASON_COMPLETED,
        latency_s=number / 2,
        usage=pb.Usage(input_tokens=10, output_tokens=5),
        cost=pb.Cost(total_usd="0.0001", input_usd="0.00005", output_usd="0.00005"),
    )
    record.MergeFrom(pb.CallRecord(**fields))
    return record


@pytest.fixture
def call() -> Callable[..., pb.CallRecord]:
    """Give what makes records."""
    return _call


@pytest.fixture
def open_api(tmp_path: Path) -> OpenApi:
    """Give what serves a store, with the bounds and settings that a test names."""

    @asynccontextmanager
    async def open_one(
        *, bounds: Bounds | None = None, clock: Clock | None = None, **given: Any
    ) -> AsyncIterator[Api]:
        used = {"data_dir": tmp_path, "http_listen": "127.0.0.1:0", **given}
        settings, used_clock = AggregatorSettings(**used), clock or SystemClock()
        async with (
            opened(tmp_path / "records.db") as store,
            guarding(settings, used_clock, AuditFile(tmp_path / AUDIT_FILE)) as guard,
            learning(StoredScores(store, used_clock), store, Admitted(), used_clock) as learned,
            serving_http(
                settings, store, guard.entrance, used_clock, learned, bounds=bounds or Bounds()
            ) as http,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client,
        ):
            yield Api(http, store, client)

    return open_one


@pytest.fixture
async def api(open_api: OpenApi) -> AsyncIterator[Api]:
    """A served store that anybody on this machine may ask."""
    async with open_api() as served:
        yield served


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file of tokens: of a reader of team-a, one of two teams, and an admin of all."""
    path = tmp_path / "tokens"
    path.write_text(TOKENS)
    return path


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean environment, whatever the tests were started with."""
    import os

    for name in [name for name in os.environ if name.startswith(("OTEL_", "REMORA_AGGREGATOR"))]:
        monkeypatch.delenv(name)
