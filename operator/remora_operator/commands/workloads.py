"""Objects that make pods, by the names that people and kubectl have for them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import click


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """A kind that pods come from.

    Attributes:
        kind: As it stands in objects.
        api: Group and version, as a path.
        plural: As it stands in paths.
        short: Kubectl's short names.
    """

    kind: str
    api: str
    plural: str
    short: tuple[str, ...] = ()

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of one, or of all in a namespace."""
        collection = f"{self.api}/namespaces/{namespace}/{self.plural}"
        return f"{collection}/{name}" if name else collection


POD: Final = WorkloadKind("Pod", "/api/v1", "pods", ("po",))
REPLICA_SET: Final = WorkloadKind("ReplicaSet", "/apis/apps/v1", "replicasets", ("rs",))
JOB: Final = WorkloadKind("Job", "/apis/batch/v1", "jobs")
DEPLOYMENT: Final = WorkloadKind("Deployment", "/apis/apps/v1", "deployments", ("deploy",))
CRON_JOB: Final = WorkloadKind("CronJob", "/apis/batch/v1", "cronjobs", ("cj",))
KINDS: Final = (
    POD,
    DEPLOYMENT,
    WorkloadKind("StatefulSet", "/apis/apps/v1", "statefulsets", ("sts",)),
    WorkloadKind("DaemonSet", "/apis/apps/v1", "daemonsets", ("ds",)),
    JOB,
    CRON_JOB,
    REPLICA_SET,
)
BY_KIND: Final[Mapping[str, WorkloadKind]] = {kind.kind: kind for kind in KINDS}

_BY_WORD: Final[Mapping[str, WorkloadKind]] = {
    word: kind for kind in KINDS for word in (kind.kind.lower(), kind.plural, *kind.short)
}
_NAME: Final = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked about."""

    kind: WorkloadKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.kind.lower()}/{self.name}"


class TargetType(click.ParamType[Target]):
    """``deployment/NAME``, ``pod/NAME`` …; a name alone is a pod's."""

    name = "target"

    def convert(
        self, value: str | Target, param: click.Parameter | None, ctx: click.Context | None
    ) -> Target:
        """Read an argument."""
        if isinstance(value, Target):
            return value
        word, slash, name = value.rpartition("/")
        kind = _BY_WORD.get(word.lower()) if slash else POD
        if kind is None:
            known = ", ".join(one.kind.lower() for one in KINDS)
            self.fail(f"{word!r} is none of {known}", param, ctx)
        if not re.fullmatch(_NAME, name):
            self.fail(f"{name!r} is no name of an object", param, ctx)
        return Target(kind, name)
