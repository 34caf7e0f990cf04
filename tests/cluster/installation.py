"""Remora in the cluster: put there from ``k8s/`` and taken away again."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import objects
from tests.cluster.kubectl import Kubectl, applied_folder, until

K8S = Path(__file__).parents[2] / "k8s"
CLI = "deployment/remora-cli"


@dataclass
class Installation:
    """The whole install with another image, and the command line that asks it.

    Attributes:
        image: Of all parts.
        folder: Where the kustomization is written.
        upstream_root: PEM of a root of providers that sidecars trust; empty: public ones alone.
        provider: An LLMProvider that every agent may call; None: those that are built in.
    """

    image: str
    folder: Path
    upstream_root: str = ""
    provider: objects.Json | None = None

    @property
    def system(self) -> Kubectl:
        """Commands in Remora's own namespace."""
        return Kubectl(objects.SYSTEM)

    def put(self) -> None:
        """Install, or change what is installed, and wait until everything serves."""
        applied_folder(self._kustomization())
        if self.upstream_root:
            # A kubelet may take a minute or two to write a changed ConfigMap.
            self.system.run("rollout", "restart", "deployment/remora-operator")
        for workload in ("deployment/remora-operator", "statefulset/remora-aggregator", CLI):
            self.system.rolled_out(workload)
        if self.provider is not None:
            self.system.apply(self.provider)

    def remove(self) -> None:
        """Uninstall as docs/kubernetes.md says, and wait until nothing is left."""
        Kubectl().run(
            "delete", "-k", str(self._kustomization()), "--ignore-not-found", within_s=300
        )

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Have pods without a sidecar denied where a namespace wants it."""
        folder = self.folder.parent / "enforce"
        folder.mkdir(exist_ok=True)
        value = json.dumps([self.image])
        images = {"op": "replace", "path": "/spec/variables/0/expression", "value": value}
        target = {"kind": "ValidatingAdmissionPolicy", "name": "remora-enforce"}
        document = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "components": _relative(folder, ["components/enforce"]),
            "patches": [{"target": target, "patch": json.dumps([images])}],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(document))
        applied_folder(folder)
        try:
            yield
        finally:
            Kubectl().run("delete", "-k", str(folder), "--ignore-not-found", within_s=180)

    def records(self, *arguments: str) -> list[dict[str, Any]]:
        """Ask for records, over gRPC, with the command line."""
        said = self.system.run(
            "exec", CLI, "--", "remora", "records", "--json", "--since", "1h", *arguments
        )
        return [json.loads(line) for line in said.splitlines() if line.strip()]

    def records_of(self, namespace: str, *, at_least: int = 1) -> list[dict[str, Any]]:
        """Wait for so many records of a namespace."""

        def found() -> list[dict[str, Any]]:
            records = self.records("--where", f"namespace={namespace}")
            return records if len(records) >= at_least else []

        return until(found, f"{at_least} records of {namespace}", within_s=60)

    def _kustomization(self) -> Path:
        """Write the kustomization: the base, with this image, and with a store without a volume."""
        sample = (K8S / "samples" / "07-look.yaml").read_text("utf-8")
        (self.folder / "look.yaml").write_text(sample)
        (self.folder / "roots.yaml").write_text(json.dumps(self._upstream_roots()))
        document = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [*_relative(self.folder, ("crds", "base")), "look.yaml", "roots.yaml"],
            "images": [{"name": "remora", **_kustomized(self.image)}],
            "patches": [_without_volume(), self._injection()],
        }
        (self.folder / "kustomization.yaml").write_text(json.dumps(document))
        return self.folder

    def _upstream_roots(self) -> objects.Json:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "remora-upstream-ca", "namespace": objects.SYSTEM},
            "data": {"suite.pem": self.upstream_root} if self.upstream_root else {},
        }

    def _injection(self) -> dict[str, Any]:
        trusts = "upstreamCa: true\n" if self.upstream_root else ""
        text = f'image: "{self.image}"\n{trusts}'
        replace = {"op": "replace", "path": "/data/injection.yaml", "value": text}
        target = {"kind": "ConfigMap", "name": "remora-config"}
        return {"target": target, "patch": json.dumps([replace])}


def _kustomized(image: str) -> dict[str, str]:
    """Say an image as kustomize wants it: name, and tag or digest apart."""
    name, at, digest = image.partition("@")
    if at:
        return {"newName": name, "digest": digest}
    name, _, tag = image.rpartition(":")
    return {"newName": name, "newTag": tag} if name and "/" not in tag else {"newName": image}


def _relative(folder: Path, rooms: Sequence[str]) -> list[str]:
    return [os.path.relpath(K8S / room, folder) for room in rooms]


def _without_volume() -> dict[str, Any]:
    """Keep records in the pod: a cluster need not have any storage class."""
    remove = {"op": "remove", "path": "/spec/volumeClaimTemplates"}
    volume = {"name": "data", "emptyDir": {}}
    add = {"op": "add", "path": "/spec/template/spec/volumes/-", "value": volume}
    target = {"kind": "StatefulSet", "name": "remora-aggregator"}
    return {"target": target, "patch": json.dumps([remove, add])}
