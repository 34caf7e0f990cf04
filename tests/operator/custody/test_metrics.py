"""The page's table of metrics is what a leader exports."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "certificates.md"


def _row(family):
    labels = sorted({label for sample in family.samples for label in sample.labels})
    name = f"{family.name}_total" if family.type == "counter" else family.name
    shown = ", ".join(f"`{label}`" for label in labels) or "-"
    return f"| `{name}` | {family.type} | {shown} | {family.documentation} |"


async def test_the_page_lists_what_is_exported(cluster):
    replica = cluster.replica()
    await replica.custodian.keep()
    rows = re.findall(r"^\| `(?:remora|webhook)_\w+` \| .*$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(map(_row, replica.registry.collect()))


async def test_a_followers_figures_are_those_of_what_it_has_read(cluster):
    await cluster.replica().custodian.keep()
    follower = cluster.replica(leads=False)
    await follower.custodian.keep()
    assert follower.metric("remora_operator_trust_maps") == 0
    assert follower.metric("webhook_cert_not_after_seconds") > cluster.now.timestamp()
    assert follower.metric("remora_operator_ca_roots", ca="serving") == 1
