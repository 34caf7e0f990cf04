"""What docs/injection.md says of findings, Events and metrics is what there is."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from remora.clock import SystemClock
from remora.http_listening.connections import Connections
from remora_operator.cluster.api_server import ApiServer
from remora_operator.inject.outcome import RefusalReason, SkipReason, WarningKind
from remora_operator.webhook.event_series import Drop
from remora_operator.webhook.events import EventWriter
from remora_operator.webhook.metrics import WebhookMetrics

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/injection.md").read_text()
ROOM = ROOT / "operator/remora_operator/diagnosis"


def _section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _first_cells(section: str) -> set[str]:
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_every_finding_is_listed_and_no_other():
    source = "".join(path.read_text() for path in ROOM.glob("*.py"))
    made = set(re.findall(r'(?:Finding|note)\(\s*"([A-Z]\w+)"', source))
    made |= set(re.findall(r'kind(?:, todo)? = "([A-Z]\w+)"', source))
    reasons = {reason.value for reason in (*SkipReason, *RefusalReason)}

    assert _first_cells(_section("Why was a pod not injected")) == made | reasons | {"Label"}


def test_every_reason_of_an_event_is_listed():
    reasons = {"Injected", "InjectionSkipped", "InjectionRefused"}
    assert _first_cells(_section("Events")) == reasons | {kind.value for kind in WarningKind}


def test_every_metric_is_listed_with_its_words():
    registry = CollectorRegistry()
    WebhookMetrics(registry).watch_connections(Connections(1))
    EventWriter(ApiServer("http://127.0.0.1:9"), SystemClock(), registry=registry)
    section = _section("Metrics of the webhook")
    kinds = {"counter": "_total", "gauge": "", "histogram": ""}
    wanted = {
        (family.name + kinds[family.type], family.type, family.documentation)
        for family in registry.collect()
    }
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| .* \| (.*) \|$", section, re.MULTILINE)

    assert set(rows) == wanted
    assert all(f"`{drop.value}`" in section for drop in Drop)
