"""What the sidecar itself asks of models, through its own proxy, as any agent's call goes.

So policy, keys, budgets, records and prices hold for it, and its answers come as those of agents
do. Its calls go under sessions of the sidecar's own, by which they are known again: what is the
sidecar's own is never evaluated, judged or classified, so that nothing can go round.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import aiohttp
from yarl import URL

from remora.clock import Clock
from remora.errors import RemoraError
from remora.ids import new_call_id
from remora.policy.askable import ASKED_DIALECT
from remora.providers import Provider
from remora.records import CallRecord
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.engine.sessions import Session
from remora_sidecar.policy.routes import host_of
from remora_sidecar.signals.spending import Hold, Limit, Spending

logger = logging.getLogger(__name__)

JUDGE: Final = "remora-judge"
CLASSIFIER: Final = "remora-classifier"

CALLS_AT_ONCE: Final = 4
TIMEOUT_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 256 * 1024
MAX_OUTPUT_TOKENS: Final = 2000
"""Of an answer; models that think first need most of it for that."""

_BYTES_PER_TOKEN: Final = 2
"""Of a prompt, at the least: what is held may be more than the call costs, never less."""
_REQUEST_TOKENS: Final = 200
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound to
"""Where a listener on all addresses is reached."""
_PLACEHOLDER: Final = "Bearer remora"
"""Policy puts its own key in its place."""


class Why(StrEnum):
    """Why a model was not asked, or gave no answer."""

    UNKNOWN_PROVIDER = "unknown_provider"
    UNPRICED = "unpriced"
    LIMIT = "limit"
    FAILED = "failed"
    TIMEOUT = "timeout"


class NotAnswered(RemoraError):
    """There is no answer; holds nothing of what was asked."""

    def __init__(self, why: Why, message: str) -> None:
        """Keep the reason."""
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        agent_id: Who asks, as records have it.
        provider: Its name.
        model: Its name there.
        messages: In the form of chat completions.
        limit: Of what may be spent; None: only policy's budgets hold.
        schema: JSON Schema that the answer has to have, enforced by the provider; None: text.
        schema_name: Its name.
        parameters: What else the request says.
        goal: What the call is for; empty: nothing is learned of it.
        timeout_s: How long the answer may take.
    """

    agent_id: str
    provider: str
    model: str
    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    limit: Limit | None = None
    schema: Mapping[str, Any] | None = None
    schema_name: str = "answer"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    goal: str = ""
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What a model answered.

    Attributes:
        text: Of its first choice.
        cost_usd: Of the call; None if unknown.
        call_id: Of its record; empty if there is none.
    """

    text: str = field(repr=False)
    cost_usd: Decimal | None
    call_id: str


@dataclass(frozen=True, slots=True)
class Way:
    """How the sidecar reaches itself.

    Attributes:
        proxy: Its explicit listener, as host and port.
        root_pem: Gives what it signs leaves with, by now.
    """

    proxy: tuple[str, int]
    root_pem: Callable[[], bytes]


class OwnCalls:
    """Asks models; used on one event loop.

    Attributes:
        asked: How many calls were made, by agent id.
        unanswered: How many questions had no answer, by agent id and reason.
        cost_usd: What they cost, as far as that is known, by agent id.
    """

    def __init__(
        self,
        parts: EngineParts,
        way: Way,
        spending: Spending | None = None,
        *,
        on_spent: Callable[[], None] = lambda: None,
        calls_at_once: int = CALLS_AT_ONCE,
    ) -> None:
        """Take the engine around it; nothing is dialled before something is asked.

        Args:
            parts: Have sessions, prices and the policy in force.
            way: To the sidecar's own proxy.
            spending: What was spent before.
            on_spent: Called after each call whose cost was counted.
            calls_at_once: More questions wait.
        """
        self.asked: dict[str, int] = {}
        self.unanswered: dict[tuple[str, str], int] = {}
        self.cost_usd: dict[str, Decimal] = {}
        self.spending = spending or Spending()
        self._parts = parts
        self._way = way
        self._on_spent = on_spent
        self._room = asyncio.Semaphore(calls_at_once)
        self._sessions: dict[str, Session] = {}
        self._client: aiohttp.ClientSession | None = None
        self._tls: tuple[bytes, ssl.SSLContext] | None = None

    @property
    def _clock(self) -> Clock:
        return self._parts.clock

    async def ask(self, question: Question) -> OwnAnswer:
        """Ask a model.

        Raises:
            NotAnswered: It was not asked, or gave no answer; counted here.
        """
        try:
            provider = self._provider(question)
            body = _body(question, provider)
            hold = self._hold(question, provider, len(body))
            return await self._ask(question, provider, body, hold)
        except NotAnswered as error:
            key = (question.agent_id, error.why.value)
            self.unanswered[key] = self.unanswered.get(key, 0) + 1
            raise

    async def aclose(self) -> None:
        """Let go of the connections to the proxy."""
        if self._client is not None:
            await self._client.close()

    # what may be asked

    def _provider(self, question: Question) -> Provider:
        provider = self._parts.policy.registry.get(question.provider)
        if provider is None or host_of(provider) is None:
            raise NotAnswered(Why.UNKNOWN_PROVIDER, f"{question.provider} can't be asked by policy")
        return provider

    def _hold(self, question: Question, provider: Provider, body_bytes: int) -> Hold | None:
        if question.limit is None:
            return None
        most = self._parts.prices.estimate_usd(
            provider.price_id,
            question.model,
            body_bytes // _BYTES_PER_TOKEN + _REQUEST_TOKENS,
            MAX_OUTPUT_TOKENS,
            self._clock.now_unix_ns(),
        )
        asked = f"{question.provider}/{question.model}"
        if most is None:
            what = f"the price of {asked} is unknown, so maxCostUSD could not be kept to"
            raise NotAnswered(Why.UNPRICED, what)
        hold = self.spending.hold(question.limit, most, self._now_ms)
        if hold is None:
            raise NotAnswered(Why.LIMIT, f"maxCostUSD of {question.agent_id} is spent: {asked}")
        return hold

    @property
    def _now_ms(self) -> int:
        return self._clock.now_unix_ns() // 1_000_000

    # asking

    async def _ask(
        self, question: Question, provider: Provider, body: bytes, hold: Hold | None
    ) -> OwnAnswer:
        mark = new_call_id(self._clock.now_unix_ns())
        session = self._session(question.agent_id)
        was_asked = False
        try:
            async with asyncio.timeout(question.timeout_s), self._room:
                was_asked = True
                self.asked[question.agent_id] = self.asked.get(question.agent_id, 0) + 1
                status, answer = await self._post(question, provider, body, session, mark)
        except TimeoutError as error:
            what = f"{question.provider} gave no answer in {question.timeout_s:g} s"
            raise NotAnswered(Why.TIMEOUT, what) from error
        except (aiohttp.ClientError, OSError) as error:
            what = f"{question.provider} could not be asked: {type(error).__name__}"
            raise NotAnswered(Why.FAILED, what) from error
        finally:
            record = _record_of(session, mark)
            self._settle(question, hold, record, was_asked=was_asked)
        if status != 200:
            raise NotAnswered(Why.FAILED, f"{question.provider} answered with status {status}")
        cost = None if record is None else record.paid_usd
        return OwnAnswer(_text(answer), cost, "" if record is None else record.call_id)

    async def _post(
        self, question: Question, provider: Provider, body: bytes, session: Session, mark: str
    ) -> tuple[int, bytes]:
        fields = {
            "Content-Type": "application/json",
            "Authorization": _PLACEHOLDER,
            "remora-data-id": mark,
            **({"remora-goal": question.goal} if question.goal else {}),
        }
        host, port = self._way.proxy
        host = _LOOPBACK.get(host, host)
        proxy = URL.build(scheme="http", user=session.session_id, host=host, port=port)
        async with self._http().post(
            _url(provider), data=body, headers=fields, proxy=proxy, ssl=self._context(),
            allow_redirects=False,
        ) as answer:  # fmt: skip
            return answer.status, await _read(answer.content)

    def _http(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=True
            )
        return self._client

    def _context(self) -> ssl.SSLContext:
        """Trust the sidecar's own CA and no other."""
        pem = self._way.root_pem()
        if self._tls is None or self._tls[0] != pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=pem.decode())
            self._tls = pem, context
        return self._tls[1]

    def _session(self, agent_id: str) -> Session:
        found = self._sessions.get(agent_id)
        if found is None:
            now = self._clock.now_unix_ns()
            found = self._sessions[agent_id] = self._parts.sessions.open_own(now, agent_id)
        return found

    def _settle(
        self, question: Question, hold: Hold | None, record: CallRecord | None, *, was_asked: bool
    ) -> None:
        cost = Decimal(0)
        if was_asked:
            found = None if record is None else record.paid_usd
            known = self.cost_usd.get(question.agent_id, Decimal(0))
            self.cost_usd[question.agent_id] = known + (found or 0)
            if hold is not None:
                self._settle_hold(hold, found, record)
            return
        if hold is not None:
            self.spending.settle(hold, cost)

    def _settle_hold(self, hold: Hold, cost: Decimal | None, record: CallRecord | None) -> None:
        """Count a call; one that was not seen cost what was held."""
        if record is None:
            cost = hold.usd
        if cost is None:
            logger.warning(
                "what a call of %s cost is unknown: no more is asked in this window, since "
                "maxCostUSD could not be kept to",
                hold.limit.name,
            )
        self.spending.settle(hold, cost)
        self._on_spent()


def _record_of(session: Session, mark: str) -> CallRecord | None:
    found = (one for one in reversed(session.history) if one.attribution.data_id == mark)
    return next(found, None)


def _body(question: Question, provider: Provider) -> bytes:
    # OpenAI's reasoning models refuse the older name, most other servers know no other.
    limit = "max_completion_tokens" if provider.name == "openai" else "max_tokens"
    asked: dict[str, Any] = {
        "model": question.model,
        "messages": list(question.messages),
        limit: MAX_OUTPUT_TOKENS,
        **question.parameters,
    }
    if question.schema is not None:
        form = {"name": question.schema_name, "strict": True, "schema": dict(question.schema)}
        asked["response_format"] = {"type": "json_schema", "json_schema": form}
    return json.dumps(asked).encode()


def _url(provider: Provider) -> str:
    scheme = "https" if provider.tls else "http"
    port = provider.ports[0]
    usual = 443 if provider.tls else 80
    at = "" if port == usual else f":{port}"
    base = provider.base_paths.get(ASKED_DIALECT, "")
    return f"{scheme}://{host_of(provider)}{at}{base}/chat/completions"


async def _read(content: aiohttp.StreamReader) -> bytes:
    held = bytearray()
    async for chunk in content.iter_any():
        held += chunk
        if len(held) > MAX_ANSWER_BYTES:
            raise NotAnswered(Why.FAILED, f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(held)


def _text(answer: bytes) -> str:
    try:
        text = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise NotAnswered(Why.FAILED, "the answer is no chat completion with a text")
    return text
