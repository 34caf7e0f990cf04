"""A whole sidecar whose control listener clients use as OpenAI's API, and a provider behind it."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.sidecar.engine.conftest import local_settings, until

from remora.record_wire import from_message
from remora.records import CallRecord
from remora.testing.double import ProviderDouble
from remora.testing.double_answer import Answer
from remora.testing.double_brain import OpenAIBrain
from remora_sidecar.assembly import Sidecar, running_sidecar
from remora_sidecar.settings import format_address

NAMES = ("api.openai.com", "api.groq.com", "vllm.ml.svc.cluster.local")
CHAT = "/v1/chat/completions"
GROQ_CHAT = "/openai/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Say hello."}]


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events, but for its last word."""
        lines = [line for line in self.text.splitlines() if line.startswith("data: ")]
        assert lines[-1] == "data: [DONE]"
        return [json.loads(line[6:]) for line in lines[:-1]]


@dataclass
class Serving:
    """A running sidecar and the double behind it."""

    sidecar: Sidecar
    double: ProviderDouble
    client: aiohttp.ClientSession
    base: str = "/v1"
    key: str = "kr-nobodys"
    _read: list[CallRecord] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f"http://{format_address(self.sidecar.control)}"

    @property
    def url(self) -> str:
        """What clients take as their base URL."""
        return f"{self.root}{self.base}"

    async def ask(
        self, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> Reply:
        """Make a request, as a client does."""
        given = {"Authorization": f"Bearer {self.key if key is None else key}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        if data is not None:
            given["Content-Type"] = "application/json"
        async with self.client.request(
            method, f"{self.root}{path}", data=data, headers=given
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.text())

    async def chat(self, model: str = "auto", **more: Any) -> Reply:
        """Ask for a chat completion."""
        headers = {name: more.pop(name) for name in list(more) if name in ("key", "remora_goal")}
        asked = {"model": model, "messages": MESSAGES, **more}
        return await self.ask(f"{self.base}/chat/completions", asked, **headers)

    async def records(self, count: int) -> list[CallRecord]:
        """Give the records once there are so many, oldest first."""
        await until(lambda: self.sidecar.spool.depth >= count)
        rows = await self.sidecar.spool.batch(10_000, 1 << 30)
        self.sidecar.spool.rewind()
        records = [from_message(row.message) for row in rows]
        assert len(records) == count
        return records

    def asked_models(self) -> list[str]:
        """The models that the provider was asked for, in order."""
        return [json.loads(request.body)["model"] for request in self.double.requests]

    def admin_token(self) -> str:
        return self.sidecar.data.admin_token


def key_of(provider: str) -> str:
    return f"sk-of-the-policy-for-{provider}-0123456789"


def policy(spec: Mapping[str, Any], keys: Sequence[str]) -> str:
    credentials = [
        {"provider": name, "secretRef": {"name": name, "key": "api-key"}} for name in keys
    ]
    return json.dumps(
        {
            "apiVersion": "remora.dev/v1alpha1",
            "kind": "LLMPolicy",
            "metadata": {"name": "test"},
            "spec": {"credentials": credentials, **spec} if credentials else dict(spec),
        }
    )


@pytest.fixture
def serve(tmp_path: Path) -> Any:
    """Give what starts a sidecar whose policy has keys for these providers."""

    @contextlib.asynccontextmanager
    async def start(
        *keys: str, documents: Sequence[Mapping[str, Any]] = (), settings: Any = None, **spec: Any
    ) -> AsyncIterator[Serving]:
        for name in keys:
            (tmp_path / "secrets" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "secrets" / name / "api-key").write_text(key_of(name))
        file = tmp_path / "policy.yaml"
        file.write_text("\n---\n".join([policy(spec, keys), *map(json.dumps, documents)]))
        async with ProviderDouble(names=NAMES) as double:
            double.route("POST", GROQ_CHAT, OpenAIBrain())
            made = local_settings(
                tmp_path, double, policy=file, secrets_dir=tmp_path / "secrets", **(settings or {})
            )
            async with running_sidecar(made) as sidecar, aiohttp.ClientSession() as client:
                yield Serving(sidecar, double, client)

    return start


@pytest.fixture
async def served(serve: Any) -> AsyncIterator[Serving]:
    """A sidecar with keys for two providers."""
    async with serve("openai", "groq") as running:
        yield running


def failing(status: int, code: str = "server_error") -> Answer:
    from remora.testing.double_answer import json_answer

    body = {"error": {"message": "no", "type": "x", "param": None, "code": code}}
    return json_answer(json.dumps(body).encode(), status=status)
