"""Drives the broker's published client once; prints what came of it as JSON."""

import json
import os

from kairosroute import (
    AuthenticationError,
    BudgetExceededError,
    KairosRoute,
    KairosRouteError,
    ProviderError,
)

URL = os.environ["BASE_URL"]
MESSAGES = [{"role": "user", "content": "Say hello."}]
LONG = [{"role": "user", "content": "word " * 10_000}]


def error_of(client, **asked):
    """Name the error that a chat ends in."""
    try:
        client.chat.completions.create(**{"messages": MESSAGES, **asked})
    except KairosRouteError as error:
        return [type(error).__name__, error.status_code, str(error), error.code]
    return None


def completion_of(client):
    """Ask for a completion of the older kind."""
    return client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")


with KairosRoute(api_key="kr_live_0123456789", base_url=URL, timeout=30) as kr:
    chat = kr.chat.completions.create(messages=MESSAGES, max_tokens=50)
    auto = kr.chat.completions.create(model="auto", messages=MESSAGES, task_id="t-7")
    named = kr.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    chunks = list(kr.chat.completions.create(messages=MESSAGES, stream=True))
    told = {
        "chat": chat,
        "auto": auto,
        "named": named,
        "chunks": chunks,
        "completion": completion_of(kr),
        "embeddings": kr.embeddings.create(input=["a", "b"]),
        "models": kr.models.list(),
        "unknown": error_of(kr, model="groq/no-such-model"),
        "unsupported": error_of(kr, plugins=["web-search"]),
        "broken": error_of(kr, model="error-503"),
        "spent": [error_of(kr, model="gpt-4o", task_id="t-8", max_tokens=5) for _ in range(60)],
        "dear": error_of(kr, model="gpt-4", messages=LONG),
    }

with KairosRoute(api_key="sess_0000000000000000", base_url=URL) as kr:
    told["ended"] = error_of(kr)

assert issubclass(BudgetExceededError, KairosRouteError)
assert issubclass(AuthenticationError, KairosRouteError)
assert issubclass(ProviderError, KairosRouteError)
print(json.dumps(told))
