"""Which calls may be answered from the cache, and which answers may be kept. Pure.

DESIGN rule 6: whole, successful answers only. The engine asks `before` a call is sent and
`after` its answer is over; each gives a decision with the word that says why.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from remora.frozen import by_name
from remora.records import CacheVerdict
from remora_sidecar.cache.directives import Directives
from remora_sidecar.dialects.base import AnswerFacts, CallRequest, Completeness
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.model.exchange import Headers

OPERATIONS = frozenset(
    {
        "chat",
        "generate_content",
        "text_completion",
        "embeddings",
        "rerank",
        "moderation",
        "count_tokens",
    }
)
"""Whose answer follows from the request alone. Not images, speech and transcriptions: large,
wanted new each time, with links that expire or boundaries that never repeat; nor anything that
reads or changes what the provider stores (models, files, batches, realtime)."""

_STATEFUL: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "openai-responses": frozenset({"background", "conversation"}),
        "anthropic-messages": frozenset({"mcp_servers"}),
    }
)
"""Members of a body, by dialect, that unless empty make the answer depend on, or act on, something
that changes: a running answer, a conversation that grows, other people's servers.
``previous_response_id`` is none: what it names never changes."""

MAX_BODY_BYTES = 8 * 1024 * 1024


HIT, MISS, BYPASS = "hit", "miss", "bypass"
"""Results of a `CacheVerdict`."""

NOT_CACHED_IN_SESSION = CacheVerdict(BYPASS, "session")
"""Of calls whose session was opened without the cache."""


def verdict_field(verdict: CacheVerdict) -> bytes:
    """Write ``remora-cache``, such as ``hit; age=12`` or ``bypass; reason=sampling``.

    Reasons of more than a word are for the record alone.
    """
    said, reason = verdict.result, verdict.reason
    if verdict.age_s is not None:
        said = f"{said}; age={max(0, int(verdict.age_s))}"
    if reason and " " not in reason:
        said = f"{said}; reason={reason}"
    return said.encode()


class CacheRules(NamedTuple):
    """What policy says about caching one call.

    Attributes:
        read: Answers may come from the cache.
        write: Answers may be kept.
        sampling: So may those of calls that ask for a sample.
        max_body_bytes: Larger bodies are not kept.
    """

    read: bool = False
    write: bool = False
    sampling: bool = False
    max_body_bytes: int = MAX_BODY_BYTES


class Plan(NamedTuple):
    """What to do with the cache for one call.

    Attributes:
        look_up: Look for an answer first.
        store: Keep the answer, if `after` allows.
        max_age_s: How old an answer may be; None for any age.
        only_cached: Answer 504 rather than ask the provider.
        reason: Why not both, in a word; empty if both.
    """

    look_up: bool
    store: bool
    max_age_s: float | None = None
    only_cached: bool = False
    reason: str = ""

    @property
    def unanswered(self) -> CacheVerdict:
        """The verdict of a call that the cache did not answer."""
        return CacheVerdict(MISS if self.look_up else BYPASS, self.reason)


_plan = by_name(Plan)


def before(
    rules: CacheRules, request: CallRequest, dialect: str, body: bytes, directives: Directives
) -> Plan:
    """Decide whether the cache may answer a call, and whether its answer may be kept."""
    if reason := _never(rules, request, dialect, body):
        return Plan(False, False, only_cached=directives.only_if_cached, reason=reason)
    look_up = rules.read and not directives.no_cache and not directives.no_store
    return _plan(
        look_up=look_up,
        store=rules.write and not directives.no_store,
        max_age_s=directives.max_age_s,
        only_cached=directives.only_if_cached,
        reason=_directed(directives),
    )


def _never(rules: CacheRules, request: CallRequest, dialect: str, body: bytes) -> str:
    if not (rules.read or rules.write):
        return "off"
    if request.operation not in OPERATIONS:
        return "operation"
    if request.reads_back:
        return "reads-back"
    if request.problem:
        return "unreadable"
    if request.samples and not rules.sampling:
        return "sampling"
    return "stateful" if _is_stateful(dialect, body) else ""


def _directed(directives: Directives) -> str:
    if directives.no_store:
        return "no-store"
    return "no-cache" if directives.no_cache else ""


def _is_stateful(dialect: str, body: bytes) -> bool:
    names = _STATEFUL.get(dialect)
    if names is None:
        return False
    asked = parse_json(body)
    if not isinstance(asked, dict):
        return False
    tools = asked.get("tools")
    return (
        any(asked.get(name) not in (None, False, [], {}) for name in names)
        or _names_container(asked.get("container"))
        or any(_acts_elsewhere(tool) for tool in (tools if isinstance(tools, list) else ()))
    )


def _acts_elsewhere(tool: object) -> bool:
    """Tell whether a tool that the provider runs reaches something that keeps a state."""
    if not isinstance(tool, dict):
        return False
    return (
        tool.get("type") == "mcp"
        or _names_container(tool.get("container"))
        or _names_container(tool.get("environment"))
    )


def _names_container(value: object) -> bool:
    """Tell whether a container is an existing one, with its files; else each call has a new one."""
    if isinstance(value, dict):
        return bool(value.get("id") or value.get("container_id"))
    return isinstance(value, str) and bool(value)


def after(
    rules: CacheRules, *, status: int, facts: AnswerFacts, body_bytes: int, whole: bool
) -> str:
    """Tell why an answer may not be kept; empty if it may.

    Args:
        rules: What policy says.
        status: Of the answer.
        facts: What it stated.
        body_bytes: Length of its body.
        whole: It was relayed to its end: not cut by the provider, the agent or a stop.
    """
    if status != 200:
        return "status"
    if not whole or facts.completeness is not Completeness.WHOLE:
        return "incomplete"
    if facts.error is not None:
        return "error"
    if facts.pending or facts.in_background:
        return "pending"
    return "size" if body_bytes > rules.max_body_bytes else ""


_NOT_KEPT = frozenset(
    {
        b"age", b"connection", b"content-length", b"keep-alive", b"proxy-authenticate",
        b"proxy-connection", b"retry-after", b"set-cookie", b"set-cookie2", b"trailer",
        b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
_NOT_KEPT_PREFIXES = (b"remora-", b"x-ratelimit-", b"anthropic-ratelimit-", b"ratelimit")


def kept_headers(headers: Headers) -> Headers:
    """Leave out of an answer's header what is of its delivery and not of the answer.

    Framing, cookies, what is left of rate limits, and what Remora added.
    """
    return tuple(
        (name, value)
        for name, value in headers
        if (lower := name.lower()) not in _NOT_KEPT and not lower.startswith(_NOT_KEPT_PREFIXES)
    )
