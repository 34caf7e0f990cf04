"""The ConfigMap `remora-trust` of every selected namespace.

All are listed by their metadata: what has the version that this replica wrote or saw last is as it
should be, and only what was touched since is read whole.
"""

import asyncio
import base64
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from cryptography import x509

from remora.errors import Problem, Unavailable
from remora_operator.ca.trust_bundle import parsed_roots
from remora_operator.cluster.api_server import ApiServer, Refused
from remora_operator.custody.agents import injected_pods
from remora_operator.custody.listing import listed_metadata
from remora_operator.custody.settings import MANAGED_BY, OURS
from remora_operator.custody.trust_files import TrustFiles
from remora_operator.inject.layout import TRUST_CONFIG_MAP

logger = logging.getLogger(__name__)

VERSION_ANNOTATION = "remora.dev/trust-version"
ROOTS_ANNOTATION = "remora.dev/trust-roots"

_AT_ONCE = 8
_ENDING = "is being terminated"


@dataclass(frozen=True, slots=True)
class MapState:
    """A ConfigMap of that name, by its metadata.

    Attributes:
        version: Its ``resourceVersion``.
        is_ours: The operator made it.
        roots: Which roots of ours it has, by its annotation.
    """

    version: str
    is_ours: bool
    roots: str


async def trust_map_states(api: ApiServer) -> dict[str, MapState]:
    """List the ConfigMaps of all namespaces, by namespace.

    Raises:
        Unavailable: The API server can't be reached, or does not give them.
    """
    found = listed_metadata(
        api, "/api/v1/configmaps", fieldSelector=f"metadata.name={TRUST_CONFIG_MAP}"
    )
    return {metadata["namespace"]: _state(metadata) async for metadata in found}


async def trusted_roots(api: ApiServer, key: str) -> tuple[x509.Certificate, ...]:
    """Return the roots that injected pods were told to trust, under a key of their ConfigMaps.

    What an uninstall has left in a namespace where no injected pod runs any more binds nobody.

    Raises:
        Unavailable: The API server can't be reached, or does not give them.
    """
    states = await trust_map_states(api)
    inhabited = {pod.namespace for pod in await injected_pods(api)}
    ours = {name for name, state in states.items() if state.is_ours}
    for namespace in sorted(ours & inhabited):
        found = await api.get(_path(namespace)) or {}
        roots = parsed_roots(str((found.get("data") or {}).get(key, "")).encode())
        if roots:
            return roots
    return ()


class TrustMaps:
    """Keeps them as they should be.

    Attributes:
        written: How often one was ``created``, ``updated`` or ``deleted``.
        kept: How many are as they should be.
        lagging: Selected namespaces whose ConfigMap could not be written.
    """

    def __init__(self, api: ApiServer) -> None:
        """Take the cluster."""
        self.written: Counter[str] = Counter()
        self.kept = 0
        self.lagging: set[str] = set()
        self._api = api
        self._right: dict[str, _Seen] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def keep(self, files: TrustFiles, selected: Iterable[str]) -> tuple[Problem, ...]:
        """Write what lacks or differs, and delete what nobody needs any more.

        Args:
            files: What each is to hold.
            selected: Namespaces whose pods are injected.

        Raises:
            Unavailable: The API server can't be reached, or does not list them.
        """
        wanted, states = sorted(set(selected)), await trust_map_states(self._api)
        unwanted = sorted({name for name, one in states.items() if one.is_ours}.difference(wanted))
        self._right = {name: self._right[name] for name in wanted if name in self._right}
        self.lagging.clear()
        put_right = [partial(self._put_right, name, states.get(name), files) for name in wanted]
        let_go = [partial(self._let_go, name) for name in unwanted]
        work = zip([*wanted, *unwanted], [*put_right, *let_go], strict=True)
        problems = await _all([self._one(name, one) for name, one in work])
        self.lagging.difference_update(unwanted)
        self.kept = sum(1 for seen in self._right.values() if seen.files == files.version)
        return problems

    def forget(self) -> None:
        """Know nothing any more of what was kept: another replica leads."""
        self._right.clear()
        self.lagging.clear()
        self.kept = 0

    async def _one(
        self, namespace: str, work: Callable[[], Coroutine[Any, Any, str]]
    ) -> Problem | None:
        """Do one namespace's work; what the API server refuses there holds up no other."""
        where = f"ConfigMap {namespace}/{TRUST_CONFIG_MAP}"
        async with self._gate:
            try:
                wrong = await work()
            except Refused as refused:
                if _is_ending(refused):
                    return None
                self.lagging.add(namespace)
                # Who was quicker is seen with the next look.
                wrong = "" if refused.status == HTTPStatus.CONFLICT else str(refused)
        return Problem(where, wrong) if wrong else None

    async def _put_right(self, namespace: str, state: MapState | None, files: TrustFiles) -> str:
        if state is None:
            made = await self._api.create(_collection(namespace), _made(files))
            self._saw(namespace, files, made)
            self._count("created", namespace)
            return ""
        if not state.is_ours:
            return (
                f"was not made by the operator (label {MANAGED_BY}={OURS}) and is not overwritten: "
                "injected pods get what it holds; delete it or give it another name"
            )
        if self._right.get(namespace) == _Seen(state.version, files.version):
            return ""
        found = await self._api.get(_path(namespace))
        if found is None:
            self.lagging.add(namespace)
            return ""
        if not _holds(found, files):
            found = await self._api.replace(_path(namespace), {**found, **_made(files, found)})
            self._count("updated", namespace)
        self._saw(namespace, files, found)
        return ""

    async def _let_go(self, namespace: str) -> str:
        pods = await injected_pods(self._api, namespace)
        if not pods and await self._api.delete(_path(namespace)):
            self._count("deleted", namespace)
        return ""

    def _saw(self, namespace: str, files: TrustFiles, found: Mapping[str, Any]) -> None:
        self._right[namespace] = _Seen(found["metadata"]["resourceVersion"], files.version)

    def _count(self, what: str, namespace: str) -> None:
        self.written[what] += 1
        logger.info("ConfigMap %s/%s %s", namespace, TRUST_CONFIG_MAP, what)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A ConfigMap as it was found right: its version, and that of the files."""

    version: str
    files: str


async def _all(work: Iterable[Coroutine[Any, Any, Problem | None]]) -> tuple[Problem, ...]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except* Unavailable as failed:
        raise Unavailable(str(failed.exceptions[0])) from failed
    return tuple(problem for problem in (task.result() for task in tasks) if problem is not None)


def _is_ending(refused: Refused) -> bool:
    """Tell whether the namespace is gone, or going: nothing can be made in it."""
    is_gone = refused.status == HTTPStatus.NOT_FOUND
    return is_gone or (refused.status == HTTPStatus.FORBIDDEN and _ENDING in str(refused))


def _state(metadata: Mapping[str, Any]) -> MapState:
    annotations = metadata.get("annotations") or {}
    return MapState(
        version=metadata["resourceVersion"],
        is_ours=(metadata.get("labels") or {}).get(MANAGED_BY) == OURS,
        roots=annotations.get(ROOTS_ANNOTATION, ""),
    )


def _made(files: TrustFiles, old: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write the object; other people's labels and annotations on an old one stay."""
    metadata = {} if old is None else old["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            **metadata,
            "name": TRUST_CONFIG_MAP,
            "labels": {**(metadata.get("labels") or {}), MANAGED_BY: OURS},
            "annotations": {**(metadata.get("annotations") or {}), **_annotations(files)},
        },
        "data": dict(files.texts),
        "binaryData": _encoded(files),
    }


def _holds(found: Mapping[str, Any], files: TrustFiles) -> bool:
    annotations = found["metadata"].get("annotations") or {}
    return (
        _annotations(files).items() <= annotations.items()
        and (found.get("data") or {}) == files.texts
        and (found.get("binaryData") or {}) == _encoded(files)
    )


def _annotations(files: TrustFiles) -> dict[str, str]:
    return {VERSION_ANNOTATION: files.version, ROOTS_ANNOTATION: files.roots}


def _encoded(files: TrustFiles) -> dict[str, str]:
    return {name: base64.b64encode(one).decode("ascii") for name, one in files.binaries.items()}


def _collection(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def _path(namespace: str) -> str:
    return f"{_collection(namespace)}/{TRUST_CONFIG_MAP}"
