"""The board shows metrics that there are, by labels that they have."""

import json
import re
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry
from tests.operator.packaging.rendered import HOUSE, K8S, kustomized

from remora_operator.cluster.metrics import ClusterMetrics
from remora_operator.webhook.metrics import WebhookMetrics

BOARD = json.loads((K8S / "grafana/remora.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
TARGETS = [
    pytest.param(target, id=f"{panel['title']}, {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
OF_TARGETS = {"namespace", "pod", "le"}
"""Labels that a scrape gives, and buckets have."""

FUNCTIONS = {"sum", "rate", "increase", "by", "le", "min", "max", "time", "histogram_quantile"}


@dataclass(frozen=True)
class Metric:
    kind: str
    labels: frozenset[str]


def _of_page():
    """The sidecar's, the aggregator's and the custodian's: other tests hold the pages to them."""
    pages = [
        (HOUSE / "docs" / name).read_text() for name in ("observability.md", "certificates.md")
    ]
    row = r"^\| `(\w+)` \|(?: `[\w.]+` \|)? (counter|gauge|histogram) \| ([^|]*) \|"
    rows = re.findall(row, "\n".join(pages), re.MULTILINE)
    return {
        name: Metric(kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }


def _of_operator():
    registry = CollectorRegistry()
    made = [WebhookMetrics(registry), ClusterMetrics(registry)]
    labels = {
        metric._name: frozenset(metric._labelnames)
        for owner in made
        for metric in vars(owner).values()
        if hasattr(metric, "_labelnames")
    }
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, Metric(family.type, labels[family.name])


METRICS = {**_of_page(), **dict(_of_operator())}


def _metrics_of(expression):
    """Give the metrics that an expression reads, as they are exported, and each one's kind."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", "", expression)
    for name in set(re.findall(r"[a-z_]{4,}", bare)) - FUNCTIONS:
        base = re.sub(r"_bucket$", "", name)
        yield base, "histogram" if base != name else ""


@pytest.mark.parametrize("target", TARGETS)
def test_a_panel_reads_metrics_that_are_exported(target):
    found = list(_metrics_of(target["expr"]))
    assert found
    for name, kind in found:
        assert name in METRICS
        assert (METRICS[name].kind == "histogram") == (kind == "histogram")
        is_rate = re.search(rf"(rate|increase)\({name}", target["expr"]) is not None
        assert is_rate == (METRICS[name].kind != "gauge")


@pytest.mark.parametrize("target", TARGETS)
def test_a_panel_asks_for_labels_that_its_metrics_have(target):
    known = OF_TARGETS.union(*(METRICS[name].labels for name, _ in _metrics_of(target["expr"])))
    grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
    selected = re.findall(r"[{,](\w+)[=!]", target["expr"])
    shown = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
    groups = {label.strip() for group in grouped for label in group.split(",")}
    assert groups | {*selected, *shown} <= known
    assert set(shown) <= groups


def test_every_part_is_on_the_board():
    names = {
        name for panel in PANELS for t in panel["targets"] for name, _ in _metrics_of(t["expr"])
    }
    parts = (
        "remora_aggregator_",
        "remora_operator_",
        "remora_injections",
        "remora_spool",
        "gen_ai_",
    )
    for part in parts:
        assert any(name.startswith(part) for name in names), part


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set()
    for place in (panel["gridPos"] for panel in BOARD["panels"]):
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_the_config_map_holds_the_board():
    [one] = kustomized("grafana")
    assert json.loads(one["data"]["remora.json"]) == BOARD
    assert one["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_operators_own_namespace_label_survives_the_scrape():
    [operator] = [
        one for one in kustomized("components/monitoring")
        if (one["kind"], one["metadata"]["name"]) == ("ServiceMonitor", "remora-operator")
    ]  # fmt: skip
    assert "namespace" in METRICS["remora_injections_total"].labels
    assert [e["honorLabels"] for e in operator["spec"]["endpoints"]] == [True]
