"""Agents' containers and pods: what calls a provider, and says under which name."""

import json
import sys
from typing import Any

from tests.operator.running.stage import PROVIDER, SAFE

URL = f"https://{PROVIDER}/v1/chat/completions"

Json = dict[str, Any]


def curl(label: str = "") -> list[str]:
    """A chat by curl; its record has the label as ``data_id``."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    named = ["-H", f"remora-data-id: {label}"] if label else []
    command = ["curl", "-sS", "--fail", "--max-time", "30", "-H", "Authorization: Bearer sk-agent"]
    return [*command, "--json", json.dumps(body), *named, URL]


def sdk(label: str) -> list[str]:
    """The same by the openai SDK for Python."""
    program = f"""
import openai
client = openai.OpenAI(api_key="sk-agent", max_retries=0, timeout=30)
messages = [{{"role": "user", "content": "hi"}}]
answer = client.chat.completions.create(
    model="gpt-4o-mini", messages=messages, extra_headers={{"remora-data-id": {label!r}}}
)
assert answer.choices[0].message.content
"""
    return [sys.executable, "-P", "-c", program]


def container(name: str, command: list[str], **fields: Any) -> Json:
    """A container of the user's, with rights that nothing is said about."""
    return {"name": name, "image": "agent", "command": command, "securityContext": SAFE, **fields}


def pod(name: str, *containers: Json, inits: tuple[Json, ...] = (), **more: Any) -> Json:
    """A pod as a Job makes it, unless ``restartPolicy`` is given."""
    metadata = {"name": name, **more.pop("metadata", {})}
    spec = {"restartPolicy": "Never", "containers": [*containers], "initContainers": [*inits]}
    return {"metadata": metadata, "spec": {**spec, **more}}


FOR_EVER = ["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"]
"""Until it is told to end: as the first process of its kind it has to listen for that."""
