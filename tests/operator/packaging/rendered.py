"""The manifests as kubectl and Helm render them."""

import functools
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

HOUSE = Path(__file__).parents[3]
K8S = HOUSE / "k8s"
CHART = K8S / "chart/remora"
KUBECTL = Path(sys.executable).with_name("kubectl")
SYSTEM = "remora-system"

KUSTOMIZATIONS = (
    ".",
    "overlays/postgres",
    "overlays/registry",
    "components/cluster-trust-bundles",
    "components/enforce",
    "components/monitoring",
    "grafana",
)
"""Everything that people apply by `kubectl apply -k`."""

EVERYTHING = {
    "enforce": {"enabled": True},
    "grafana": {"enabled": True},
    "injection": {"trustSource": "clusterTrustBundle"},
    "monitoring": {"enabled": True},
}
"""Values that switch on whatever is off by default."""

type Json = dict[str, Any]
type Key = tuple[str, str, str]


def loaded(text: str) -> list[Json]:
    """Read manifests as Kubernetes does, as values that share no parts."""
    documents = yaml.load_all(text, yaml.CSafeLoader)
    return [json.loads(json.dumps(one)) for one in documents if one]


def built(folder: Path) -> list[Json]:
    """Give what kubectl makes of any kustomization."""
    command = [KUBECTL, "kustomize", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return loaded(done.stdout)


@functools.cache
def _kustomized(folder: str) -> str:
    return json.dumps(built(K8S / folder))


def kustomized(folder: str = ".") -> list[Json]:
    """Give what `kubectl apply -k` applies, in its order."""
    return list(json.loads(_kustomized(folder)))


@functools.cache
def _charted(values: str, namespace: str) -> str:
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(json.loads(values), name="remora", namespace=namespace)
    return json.dumps(
        [one for file, text in texts.items() if file.endswith(".yaml") for one in loaded(text)]
    )


def charted(values: Mapping[str, Any] | None = None, namespace: str = SYSTEM) -> list[Json]:
    """Give what `helm install` applies."""
    return list(json.loads(_charted(json.dumps(values or {}), namespace)))


def key(one: Json) -> Key:
    metadata = one["metadata"]
    return one["kind"], metadata.get("namespace", ""), metadata["name"]


def keyed(objects: Iterable[Json]) -> dict[Key, Json]:
    """Give objects by kind, namespace and name; none comes twice."""
    listed = [(key(one), one) for one in objects]
    found = dict(listed)
    assert len(found) == len(listed), sorted(name for name, _ in listed)
    return found


def only(objects: Iterable[Json], kind: str, name: str) -> Json:
    [found] = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def pod_template(workload: Json) -> Json:
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]


def workloads(objects: Iterable[Json]) -> list[Json]:
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    return [one for one in objects if one["kind"] in kinds]


def container_of(workload: Json) -> Json:
    [container] = pod_template(workload)["spec"]["containers"]
    return container


def variables(container: Json) -> dict[str, Any]:
    """Give a container's variables: their values, or where they come from."""
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container.get("env", ())}


def samples() -> dict[str, list[Json]]:
    """Give the samples by file, in the order in which they are applied."""
    return {file.name: loaded(file.read_text()) for file in sorted((K8S / "samples").iterdir())}
