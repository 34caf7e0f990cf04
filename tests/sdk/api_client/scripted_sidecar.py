"""A server that speaks the sidecar's API as a test tells it to, on a thread of its own."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

STARTED = {"type": "started", "execution_id": "exec_1", "task_id": "t-1", "workflow": "research"}
RESULT = {
    "execution_id": "exec_1", "task_id": "t-1", "workflow": "research", "status": "completed",
    "outputs": {"summary": "Tea is old.", "price_usd": "12"}, "total_cost_usd": "0.0125",
    "known_cost_usd": "0.0125", "unpriced_calls": 0, "total_latency_ms": 1200, "total_tokens": 321,
    "steps": [{"step_id": "gather", "status": "completed", "model_id": "gpt-4o-mini",
               "latency_ms": 900, "cost_usd": "0.0125"}],
    "downgraded": [], "error": None,
    "estimate": {"least": {"cost_usd": "0.001"}, "most": {"cost_usd": "0.115"}},
}  # fmt: skip
FINAL = {"type": "final", "latency_ms": 1200, "cost_usd": "0.0125", "result": RESULT}


def step(kind: str, step_id: str = "gather", **more: Any) -> dict[str, Any]:
    """An event about a step."""
    return {"type": kind, "step_id": step_id, **more}


def done(step_id: str = "gather") -> dict[str, Any]:
    """The event of a step that completed."""
    return step(
        "step_completed", step_id, status="completed", model_id="gpt-4o-mini", latency_ms=900,
        cost_usd="0.0125",
    )  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """One answer, of JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Events:
    """One answer, of events.

    Attributes:
        values: What is sent, each an event's data.
        then: ``end``, ``break`` (the connection), or ``hang`` until the client goes.
        first_id: Number of the first of them.
        life: What ids begin with.
    """

    values: Sequence[Any]
    then: str = "end"
    first_id: int = 1
    life: int = 1


def refusal(status: int, code: str, message: str = "no", **more: Any) -> Reply:
    """A refusal as the sidecar words it; ``headers`` are its fields."""
    headers = more.pop("headers", {})
    error = {"message": message, "type": "x", "code": code}
    return Reply(
        {"error": error, "remora": {"code": code, "why": message, **more}}, status, headers
    )


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"


class ScriptedSidecar:
    """Answers each path with what it was told, in order; the last answer stays.

    Attributes:
        seen: The requests so far.
        left: Set once a client has gone from a stream that hangs.
    """

    def __init__(self) -> None:
        """Prepare; its context serves."""
        self.seen: list[Seen] = []
        self.left = threading.Event()
        self._hanging = threading.Event()
        self._answers: dict[str, list[Reply | Events]] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted-sidecar")
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def answer(self, call: str, *answers: Reply | Events) -> None:
        """Say how a call such as ``GET /models`` is answered, below ``/v1``."""
        method, _, path = call.partition(" ")
        self._answers[f"{method} /v1{path}"] = list(answers)

    def calls(self) -> list[str]:
        """The calls so far, in order."""
        with self._changed:
            return [seen.call.replace(" /v1", " ") for seen in self.seen]

    def last(self) -> Seen:
        """The last request."""
        with self._changed:
            return self.seen[-1]

    def wait_for(self, call: str) -> Seen:
        """Wait until a call was made."""

        def found() -> Seen | None:
            return next((s for s in self.seen if s.call.replace(" /v1", " ") == call), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, timeout=30), self.seen
            result = found()
        assert result is not None
        return result

    def wait_until_hanging(self) -> None:
        """Wait until all that a stream is to say before it hangs was sent."""
        assert self._hanging.wait(30)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        seen = Seen(request.method, request.path, dict(request.query), request.headers, body)
        with self._changed:
            self.seen.append(seen)
            self._changed.notify_all()
        waiting = self._answers.get(f"{request.method} {request.raw_path.partition('?')[0]}")
        if waiting is None:
            return _sent(refusal(404, "UNKNOWN", f"nothing at {request.path}"))
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return _sent(answer) if isinstance(answer, Reply) else await self._stream(request, answer)

    async def _stream(self, request: web.Request, events: Events) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, value in enumerate(events.values, events.first_id):
            if isinstance(value, str):
                await response.write(value.encode())
                continue
            text = f"id: {events.life}-{number}\nevent: {value.get('type', '')}\n"
            await response.write(f"{text}data: {json.dumps(value)}\n\n".encode())
        if events.then == "hang":
            await self._hang()
        if events.then == "break":
            assert request.transport is not None
            request.transport.abort()
        return response

    async def _hang(self) -> None:
        """Say nothing until the client has gone, which cancels this."""
        self._hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()

    async def _start(self, port: int) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for _ in range(10):  # connections are closed some turns after they were told to
            await asyncio.sleep(0)

    async def _drain(self) -> None:
        """Wait until all clients have gone, as far as they go at all."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self._runner is not None and self._runner.server.connections:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def stop(self) -> None:
        """Stop serving; connections break."""
        self._run(self._stop())

    def start(self) -> None:
        """Serve again where it served before."""
        self._run(self._start(self.port))

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start(0))
        return self

    def __exit__(self, *_: object) -> None:
        for thread in threading.enumerate():
            if thread.name in ("remora-call", "remora-stream", "remora-cancel-run"):
                thread.join(10)
        self._run(self._drain())
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


def _sent(answer: Reply) -> web.Response:
    text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
    return web.Response(
        text=text, status=answer.status, headers=answer.headers, content_type="application/json"
    )
