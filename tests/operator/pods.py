"""Pods, namespaces and what becomes of them, for tests."""

import functools
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpatch

from remora_operator.inject import Decision, Injection, InjectionConfig, Namespace, inject

ENABLED = Namespace("team", {"remora.dev/injection": "enabled"})
CONFIG = InjectionConfig()
SA_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SAFE: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Rights that are flagged for nothing, and allowed at the level restricted."""


def container(name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "agent:1", "securityContext": SAFE} | fields


def pod(*containers: dict[str, Any], metadata: Mapping[str, Any] | None = None, **spec: Any):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"} | dict(metadata or {}),
        "spec": {"containers": list(containers) or [container()]} | spec,
    }


def annotated(**annotations: str) -> dict[str, Any]:
    """A pod with annotations under remora.dev/, underscores for hyphens."""
    named = {f"remora.dev/{name.replace('_', '-')}": v for name, v in annotations.items()}
    return pod(metadata={"annotations": named})


def injected(
    given: Mapping[str, Any],
    namespace: Namespace = ENABLED,
    config: InjectionConfig = CONFIG,
) -> dict[str, Any]:
    """The pod with its patch applied by somebody else's library."""
    decision = inject(given, namespace, config)
    assert isinstance(decision, Injection), decision
    return patched(given, decision)


def patched(given: Mapping[str, Any], decision: Decision) -> dict[str, Any]:
    operations = [operation.as_json() for operation in decision.operations]
    document = json.loads(json.dumps(given))  # no parts shared: the library changes in place
    return jsonpatch.JsonPatch(operations).apply(document, in_place=True)


def names(given: Mapping[str, Any], kind: str) -> list[str]:
    return [c["name"] for c in given["spec"].get(kind) or ()]


def named(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The one container of a name."""
    spec = given["spec"]
    found = [c for k in ("initContainers", "containers") for c in spec.get(k) or ()]
    [only] = [c for c in found if c["name"] == name]
    return only


def environment(given: Mapping[str, Any], name: str = "app") -> dict[str, Any]:
    """A container's literal variables."""
    return {v["name"]: v["value"] for v in named(given, name)["env"] if "value" in v}


def as_before(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Assert that injection took nothing away, and changed nothing that it should not."""
    for kind in ("initContainers", "containers"):
        kept = [c for c in after["spec"].get(kind) or () if not c["name"].startswith("remora")]
        given = [c for c in before["spec"].get(kind) or () if not c["name"].startswith("remora")]
        assert [c["name"] for c in kept] == [c["name"] for c in given]
        for old, new in zip(given, kept, strict=True):
            _container_as_before(old, new)
    assert _without(before["spec"], "containers", "initContainers", "volumes") == _without(
        after["spec"], "containers", "initContainers", "volumes"
    )
    volumes = after["spec"].get("volumes") or []
    assert [v for v in volumes if not v["name"].startswith("remora-")] == [
        v for v in before["spec"].get("volumes") or [] if not v["name"].startswith("remora-")
    ]
    metadata = _without(before["metadata"], "annotations")
    assert metadata == _without(after["metadata"], "annotations")
    annotations = before["metadata"].get("annotations") or {}
    status = {"remora.dev/status"}
    assert {k: v for k, v in annotations.items() if k not in status}.items() <= (
        after["metadata"]["annotations"].items()
    )


def _container_as_before(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    assert _without(old, "env", "volumeMounts") == _without(new, "env", "volumeMounts")
    mounts = new.get("volumeMounts") or []
    assert mounts[: len(old.get("volumeMounts") or [])] == (old.get("volumeMounts") or [])
    variables = new.get("env") or []
    for index, variable in enumerate(old.get("env") or []):
        kept = variables[index]
        assert kept["name"] == variable["name"]
        appended = ("JAVA_TOOL_OPTIONS", "NO_PROXY", "no_proxy")
        if variable["name"] in appended and "valueFrom" not in variable:
            assert kept["value"].startswith(variable.get("value", ""))
        else:
            assert kept == variable


def _without(json_object: Mapping[str, Any], *members: str) -> dict[str, Any]:
    kept = {name: value for name, value in json_object.items() if name not in members}
    return {name: value for name, value in kept.items() if value is not None}


@dataclass(frozen=True)
class Recorded:
    """A recorded AdmissionReview, and the API server's verdicts on its pod."""

    id: str
    review: Mapping[str, Any]
    security: Mapping[str, str | None]

    @property
    def pod(self) -> Mapping[str, Any]:
        return self.review["request"]["object"]

    @property
    def is_new_pod(self) -> bool:
        request = self.review["request"]
        return request["operation"] == "CREATE" and request["kind"]["kind"] == "Pod"


def corpus_folder() -> Path | None:
    """The folder of recorded reviews; None if there is none."""
    root = os.environ.get("REMORA_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus"
    folder = Path(root) / "admission"
    return folder if any(folder.glob("*.jsonl.gz")) else None


@functools.cache
def recorded_reviews() -> tuple[Recorded, ...]:
    """Every recorded review; none where there is no corpus."""
    folder = corpus_folder()
    return tuple(_recorded(folder)) if folder else ()


def _recorded(folder: Path) -> Iterator[Recorded]:
    for file in sorted(folder.glob("*.jsonl.gz")):
        for line in gzip.decompress(file.read_bytes()).splitlines():
            row = json.loads(line)
            yield Recorded(row["id"], row["review"], row["psa"])
