"""Sends spans and capsules in all ways that the published client has."""

import json
import os
import sys

import requests
from kalibr import KalibrClient, Router
from kalibr.simple_tracer import trace
from kalibr.trace_capsule import TraceCapsule

told = {}


@trace(operation="chat_completion", provider="openai", model="gpt-4o")
def traced(prompt):
    return f"answered {prompt}"


traced("one")

client = KalibrClient(workflow_id="flow", secret=sys.argv[1] or None)


@client.trace(operation="chat_completion", vendor="openai", model="gpt-4o-mini")
def observed(prompt):
    return f"ähnlich {prompt}"


observed("two")
client.shutdown()

# With instrumentation on, spans leave through OpenTelemetry's exporter.
router = Router(goal="traced", paths=["gpt-4o-mini"])
answer = router.completion([{"role": "user", "content": "Say something, please."}])
told["trace_id"] = answer.kalibr_trace_id
from opentelemetry import trace as otel  # noqa: E402

otel.get_tracer_provider().force_flush()

capsule = TraceCapsule()
for number in range(7):
    capsule.append_hop(
        {"provider": "openai", "operation": "chat", "model": "gpt-4o", "duration_ms": 100,
         "status": "success", "cost_usd": 0.01, "agent_name": f"agent-{number}"}
    )  # fmt: skip
headers = {"X-API-Key": os.environ["KALIBR_API_KEY"]}
url = f"{os.environ['KALIBR_BACKEND_URL']}/api/ingest/capsule"
requests.post(url, json=capsule.to_dict(), headers=headers, timeout=10).raise_for_status()
told["capsule"] = capsule.trace_id
print(json.dumps(told))
