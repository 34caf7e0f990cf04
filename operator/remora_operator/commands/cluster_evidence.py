"""Gathers what a diagnosis needs; what may not be asked of the API server is left out and said."""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from remora.errors import BadRequest, ConfigError
from remora_operator.cluster.api_server import ApiServer, Refused
from remora_operator.commands.workloads import (
    BY_KIND,
    CRON_JOB,
    DEPLOYMENT,
    JOB,
    POD,
    REPLICA_SET,
    Target,
    WorkloadKind,
)
from remora_operator.diagnosis.evidence import (
    Evidence,
    Json,
    Part,
    SeenHooks,
    SeenNamespace,
)
from remora_operator.diagnosis.reading import (
    keys_of,
    plain,
    read_hooks,
    read_seen_namespace,
    read_seen_pod,
    ready_endpoints,
)
from remora_operator.diagnosis.webhook import CONFIGURATION
from remora_operator.inject import InjectionConfig
from remora_operator.inject.layout import TRUST_CONFIG_MAP
from remora_operator.inject.settings import read_config
from remora_operator.policies import Reading, read_object

_MOST: Final = 500
_NEWEST_JOBS: Final = 3
_FORBIDDEN: Final = (401, 403)
_CONFIG_MAP: Final = "remora-config"
_CONFIG_KEY: Final = "injection.yaml"
_SERVICE: Final = "remora-operator"
_POLICY_KINDS: Final = {
    "ClusterLLMPolicy": "clusterllmpolicies",
    "LLMProvider": "llmproviders",
    "LLMPolicy": "llmpolicies",
}


class Gathering:
    """Asks one API server about one workload."""

    def __init__(self, api: ApiServer, namespace: str, operator_namespace: str) -> None:
        """Take whom to ask, and where the workload and the operator are."""
        self._api = api
        self._namespace = namespace
        self._operator = operator_namespace
        self._unasked: dict[Part, str] = {}

    async def evidence(self, target: Target, now: datetime) -> Evidence:
        """Gather all that is to be known.

        Raises:
            BadRequest: There is no such workload.
            Unavailable: The API server can't be asked, or not about the workload itself.
        """
        asked = await self._api.get(target.kind.path(self._namespace, target.name))
        if asked is None:
            what = f"there is no {target} in namespace {self._namespace}"
            raise BadRequest(what, status=404)
        top, holders = await self._climb({**asked, "kind": target.kind.kind})
        is_pod = target.kind is POD
        pods = [asked] if is_pod else await self._pods(top, holders)
        config, problem = await self._config()
        return Evidence(
            top=top,
            namespace=self._namespace,
            pods=tuple(map(read_seen_pod, pods)),
            now=now,
            seen_namespace=await self._seen_namespace(),
            hooks=await self._hooks(),
            ready_operators=await self._ready_operators(),
            trust_keys=await self._trust_keys(),
            config=config,
            config_problem=problem,
            policies=await self._policies(),
            failures=() if is_pod else await self._failures(holders),
            unasked=self._unasked,
            operator_namespace=self._operator,
        )

    async def _permitted[T](self, part: Part, asking: Awaitable[T], otherwise: T) -> T:
        """Ask; note it where that is not allowed."""
        try:
            return await asking
        except Refused as refused:
            if refused.status not in _FORBIDDEN:
                raise
            self._unasked[part] = str(refused)
            return otherwise

    async def _list(self, part: Part, path: str, **query: str) -> list[Json]:
        asked = f"{path}?{urlencode({**query, 'limit': str(_MOST)})}"
        found = await self._permitted(part, self._api.get(asked), None)
        if found is None:
            return []
        if _metadata(found).get("continue"):
            self._unasked[Part.PODS] = f"only the first {_MOST} of {path} were looked at"
        items = found.get("items")
        return [one for one in items if isinstance(one, Mapping)] if isinstance(items, list) else []

    async def _climb(self, one: Json) -> tuple[Json, list[Json]]:
        """Go up to what makes the pods; returns it, and all objects that may have failed to."""
        holders = [one]
        while (owner := _controller(one)) is not None:
            above = BY_KIND.get(str(owner.get("kind")))
            if above is None:
                break
            path = above.path(self._namespace, str(owner.get("name")))
            found = await self._permitted(Part.OWNERS, self._api.get(path), None)
            if found is None:
                break
            one = {**found, "kind": above.kind}
            holders.append(one)
        return one, holders

    async def _pods(self, top: Json, holders: list[Json]) -> list[Json]:
        """Find the pods of a workload, by way of the ReplicaSets or Jobs between."""
        between = {DEPLOYMENT.kind: REPLICA_SET, CRON_JOB.kind: JOB}.get(str(top.get("kind")))
        makers = [holders[0]]  # what was asked about: it may be one ReplicaSet of several
        if between is not None and holders[0] is top:
            makers = await self._owned(between, top)
            makers = sorted(makers, key=_created)[-_NEWEST_JOBS:] if between is JOB else makers
            holders += makers
        return [pod for maker in makers for pod in await self._owned(POD, maker)]

    async def _owned(self, kind: WorkloadKind, owner: Json) -> list[Json]:
        labels = _selected_labels(owner)
        query = {"labelSelector": labels} if labels else {}
        found = await self._list(Part.PODS, kind.path(self._namespace), **query)
        uid = _metadata(owner).get("uid")
        owned = [one for one in found if (_controller(one) or {}).get("uid") == uid]
        return [{**one, "kind": kind.kind} for one in owned]

    async def _seen_namespace(self) -> SeenNamespace | None:
        asking = self._api.get(f"/api/v1/namespaces/{self._namespace}")
        found = await self._permitted(Part.NAMESPACE, asking, None)
        return None if found is None else read_seen_namespace(found)

    async def _hooks(self) -> SeenHooks | None:
        group = "/apis/admissionregistration.k8s.io/v1"
        asking = self._api.get(f"{group}/mutatingwebhookconfigurations/{CONFIGURATION}")
        found = await self._permitted(Part.WEBHOOK, asking, None)
        return None if found is None else read_hooks(found)

    async def _ready_operators(self) -> int:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self._operator}/endpointslices"
        selector = f"kubernetes.io/service-name={_SERVICE}"
        return ready_endpoints(await self._list(Part.OPERATOR, path, labelSelector=selector))

    async def _trust_keys(self) -> frozenset[str] | None:
        path = f"/api/v1/namespaces/{self._namespace}/configmaps/{TRUST_CONFIG_MAP}"
        found = await self._permitted(Part.TRUST, self._api.get(path), None)
        return None if found is None else keys_of(found)

    async def _config(self) -> tuple[InjectionConfig, str]:
        path = f"/api/v1/namespaces/{self._operator}/configmaps/{_CONFIG_MAP}"
        found = await self._permitted(Part.CONFIG, self._api.get(path), None)
        data = found.get("data") if found is not None else None
        text = data.get(_CONFIG_KEY) if isinstance(data, Mapping) else None
        try:
            return read_config(_CONFIG_KEY, text if isinstance(text, str) else ""), ""
        except ConfigError as error:
            return InjectionConfig(), "; ".join(map(str, error.problems))

    async def _policies(self) -> tuple[Reading, ...]:
        """Read the policy objects; without their definitions there are none."""
        group, readings = "/apis/remora.dev/v1alpha1", list[Reading]()
        for kind, plural in _POLICY_KINDS.items():
            inner = f"namespaces/{self._namespace}/{plural}" if kind == "LLMPolicy" else plural
            for one in await self._list(Part.POLICIES, f"{group}/{inner}"):
                whole = {"apiVersion": "remora.dev/v1alpha1", **one, "kind": kind}
                readings.append(read_object(whole))
        return tuple(readings)

    async def _failures(self, holders: list[Json]) -> tuple[str, ...]:
        """Return the newest complaint of each controller that could not create a pod."""
        newest: dict[str, str] = {}
        for holder in holders:
            name, path = str(_metadata(holder).get("name")), f"/api/v1/namespaces/{self._namespace}"
            selector = f"involvedObject.name={name},reason=FailedCreate"
            found = await self._list(Part.EVENTS, f"{path}/events", fieldSelector=selector)
            if found:
                newest[name] = plain(str(max(found, key=_last_seen).get("message") or ""))
        return tuple(dict.fromkeys(newest.values()))


def _metadata(one: Json) -> Mapping[str, Any]:
    metadata = one.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _controller(one: Json) -> Json | None:
    owners = _metadata(one).get("ownerReferences")
    found = owners if isinstance(owners, list) else []
    controllers = (o for o in found if isinstance(o, Mapping) and o.get("controller") is True)
    return next(controllers, None)


def _selected_labels(owner: Json) -> str:
    spec = owner.get("spec")
    selector = spec.get("selector") if isinstance(spec, Mapping) else None
    labels = selector.get("matchLabels") if isinstance(selector, Mapping) else None
    pairs = labels.items() if isinstance(labels, Mapping) else ()
    return ",".join(f"{name}={value}" for name, value in pairs)


def _created(one: Json) -> str:
    return str(_metadata(one).get("creationTimestamp") or "")


def _last_seen(event: Json) -> str:
    series = event.get("series")
    repeated = series.get("lastObservedTime") if isinstance(series, Mapping) else None
    times = (repeated, event.get("lastTimestamp"), event.get("eventTime"), _created(event))
    return next((str(time) for time in times if time), "")
