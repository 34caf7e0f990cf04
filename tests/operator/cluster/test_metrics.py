from pathlib import Path

from prometheus_client import CollectorRegistry, Metric

from remora_operator.cluster.metrics import ClusterMetrics

DOCUMENT = Path(__file__).parents[3] / "docs/observability.md"


def _row(metric: Metric, labels: tuple[str, ...]) -> str:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    shown = ", ".join(f"`{label}`" for label in labels) or "-"
    return f"| `{name}` | {metric.type} | {shown} | {metric.documentation} |"


def test_every_metric_stands_in_the_documentation():
    registry = CollectorRegistry()
    metrics = vars(ClusterMetrics(registry)).values()
    rows = [_row(one, made._labelnames) for made in metrics for one in made.describe()]
    assert len(rows) == 8
    written = DOCUMENT.read_text().splitlines()
    assert [row for row in rows if row not in written] == []
