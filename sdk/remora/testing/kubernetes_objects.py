"""Objects as a Kubernetes API server keeps them, in memory: paths, versions, conflicts, events.

No schema, no admission, no defaults: what is put in comes out, with the metadata that the server
writes. Of the concepts, https://kubernetes.io/docs/reference/using-api/api-concepts/ is the source.
"""

import builtins
import copy
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

type Json = dict[str, Any]

_STARTED = "2026-01-01T00:00:00Z"
_KEPT_EVENTS = 10_000
_OF_NAMESPACES = ("status", "finalize")


class Refused(Exception):
    """An answer other than success: its status code and Kubernetes' reason."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Keep what goes into the Status object."""
        super().__init__(message)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """What a request's path names.

    Attributes:
        kind: Group, version and plural: ``v1/pods``, ``apps/v1/deployments``.
        namespace: Empty for cluster-scoped objects, and for all namespaces.
        name: Empty for the collection.
        subresource: Such as ``status``; empty for the object itself.
    """

    kind: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @classmethod
    def parse(cls, path: str) -> "ResourcePath":
        """Read a path below ``/api`` or ``/apis``; raises Refused (404) for any other."""
        match path.strip("/").split("/"):
            case ["api", version, *rest] if rest:
                group = version
            case ["apis", name, version, *rest] if rest:
                group = f"{name}/{version}"
            case _:
                raise Refused(404, "NotFound", f"{path} names no resource")
        namespace = ""
        is_namespaced = len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in _OF_NAMESPACES
        if is_namespaced:
            namespace, rest = rest[1], rest[2:]
        if len(rest) > 3:
            raise Refused(404, "NotFound", f"{path} names no resource")
        plural, name, subresource = (*rest, "", "")[:3]
        return cls(f"{group}/{plural}", namespace, name, subresource)


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch tells of: ``ADDED``, ``MODIFIED`` or ``DELETED``, and the object after it.

    Attributes:
        version: The resource version that it made.
        type: What a watch without selectors says of it.
        path: Of the object.
        object: The object after it; of one that was deleted, as it was at last.
        before: The object before it; None: there was none.
    """

    version: int
    type: str
    path: ResourcePath
    object: Json = field(repr=False)
    before: Json | None = field(default=None, repr=False)

    def seen_through(self, labels: str, fields: str) -> str:
        """Return what a watch with these selectors says of it; nothing: it is not told."""
        before = self.before is not None and bool(selected([self.before], labels, fields))
        after = self.type != "DELETED" and bool(selected([self.object], labels, fields))
        match before, after:
            case True, False:
                return "DELETED"
            case False, True:
                return "ADDED"
            case True, True:
                return "MODIFIED"
            case _:
                return ""


class ObjectStore:
    """All objects of one cluster, with what became of them.

    Attributes:
        changes: The last ones, oldest first; who asks for older ones is told 410.
        on_change: Called after each.
    """

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        """Start with nothing, at resource version 1."""
        self.changes: list[Change] = []
        self.on_change = on_change
        self._objects: dict[ResourcePath, Json] = {}
        self._version = 1
        self._forgotten = 1
        self._names = itertools.count(1)

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._version

    @property
    def forgotten(self) -> int:
        """What became of objects before this resource version is not known any more."""
        return self._forgotten

    def get(self, path: ResourcePath) -> Json:
        """Return an object; raises Refused (404)."""
        try:
            return copy.deepcopy(self._objects[replace(path, subresource="")])
        except KeyError:
            message = f'{path.kind.rpartition("/")[2]} "{path.name}" not found'
            raise Refused(404, "NotFound", message) from None

    def list(self, path: ResourcePath, labels: str = "", fields: str = "") -> list[Json]:
        """Return the objects of a collection that selectors take, of one namespace or of all."""
        return copy.deepcopy(self.page(path, labels, fields)[0])

    def page(
        self, path: ResourcePath, labels: str, fields: str, *, limit: int = 0, after: str = ""
    ) -> tuple[builtins.list[Json], str]:
        """Return objects of a collection in order of their keys; they are the kept ones.

        Args:
            path: Of the collection.
            labels: A label selector.
            fields: A field selector.
            limit: How many at most; 0: all.
            after: Where the page before ended.

        Returns:
            The objects, and where this page ends if there are more.
        """
        keys = sorted(
            (f"{key.namespace}/{key.name}", key) for key in self._objects if is_in(path, key)
        )
        found: builtins.list[Json] = []
        for index, (text, key) in enumerate(keys):
            if text > after or not after:
                found += selected([self._objects[key]], labels, fields)
            if limit and len(found) == limit and index + 1 < len(keys):
                return found, text
        return found, ""

    def create(self, path: ResourcePath, body: Json) -> Json:
        """Add an object; its name stands in it, or is made of ``generateName``."""
        made = copy.deepcopy(body)
        metadata = made.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = f"{metadata['generateName']}{next(self._names):05d}"
        if not metadata.get("name"):
            raise Refused(422, "Invalid", "metadata.name: Required value: name is required")
        key = ResourcePath(path.kind, path.namespace, metadata["name"])
        if key in self._objects:
            raise Refused(409, "AlreadyExists", f'"{key.name}" already exists')
        metadata |= {
            "uid": metadata.get("uid") or str(uuid.uuid4()),
            "creationTimestamp": metadata.get("creationTimestamp") or _STARTED,
            "generation": 1,
        }
        if path.namespace:
            metadata["namespace"] = path.namespace
        return self._put(key, made, "ADDED")

    def replace(self, path: ResourcePath, body: Json) -> Json:
        """Put an object in place of one; raises Refused (409) if that has changed meanwhile."""
        old, new = self.get(path), copy.deepcopy(body)
        expected = new.setdefault("metadata", {}).get("resourceVersion")
        if expected not in (None, "", old["metadata"]["resourceVersion"]):
            message = (
                "the object has been modified; please apply your changes to the latest version"
            )
            raise Refused(409, "Conflict", message)
        uid = new["metadata"].get("uid")
        if uid not in (None, "", old["metadata"]["uid"]):
            message = f"metadata.uid: Invalid value: {uid!r}: field is immutable"
            raise Refused(422, "Invalid", message)
        if path.subresource == "status":
            new = {**old, "metadata": dict(old["metadata"]), "status": new.get("status")}
        for name in ("name", "namespace", "uid", "creationTimestamp", "generation"):
            if name in old["metadata"]:
                new["metadata"][name] = old["metadata"][name]
        if old.get("spec") != new.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if new == old:
            return old  # as a server does with what changes nothing
        return self._put(replace(path, subresource=""), new, "MODIFIED")

    def patch(self, path: ResourcePath, body: Json) -> Json:
        """Merge into an object (RFC 7396); lists are replaced, in strategic patches as well."""
        return self.replace(path, merged(self.get(path), body))

    def delete(self, path: ResourcePath) -> Json:
        """Take an object out, at once: nothing has finalizers or a grace period here."""
        gone = self.get(path)
        before = self._objects.pop(path)
        self._note("DELETED", path, gone, before)
        return gone

    def changes_after(self, path: ResourcePath, version: int) -> Iterator[Change]:
        """Give what a watch of a collection tells; raises Refused (410) for too long ago."""
        if version < self._forgotten:
            raise Refused(410, "Expired", f"too old resource version: {version}")
        found = (change for change in list(self.changes) if change.version > version)
        return (change for change in found if is_in(path, change.path))

    def forget_changes(self) -> None:
        """Know no change any more, as a server does after a while."""
        self.changes.clear()
        self._version += 1
        self._forgotten = self._version

    def _put(self, key: ResourcePath, made: Json, change: str) -> Json:
        before = self._objects.get(key)
        self._objects[key] = made
        self._note(change, key, made, before)
        return copy.deepcopy(made)

    def _note(self, change: str, key: ResourcePath, one: Json, before: Json | None) -> None:
        self._version += 1
        one["metadata"]["resourceVersion"] = str(self._version)
        # What is kept is put in another's place, never changed: it need not be copied.
        self.changes.append(Change(self._version, change, key, one, before))
        del self.changes[:-_KEPT_EVENTS]
        self.on_change()


def is_in(collection: ResourcePath, path: ResourcePath) -> bool:
    """Tell whether an object is one of a collection."""
    is_of_namespace = collection.namespace in ("", path.namespace)
    is_named = collection.name in ("", path.name)
    return collection.kind == path.kind and is_of_namespace and is_named


def merged(target: Any, patch: Any) -> Any:
    """Merge a patch (RFC 7396): null takes out, mappings go deeper, all else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def selected(objects: Iterable[Json], labels: str, fields: str) -> list[Json]:
    """Return what a label and a field selector take; terms are ``a=b``, ``a!=b``, ``a``, ``!a``."""
    return [
        one
        for one in objects
        if all(_holds(term, one["metadata"].get("labels") or {}) for term in _terms(labels))
        and all(_holds(term, _Fields(one)) for term in _terms(fields))
    ]


def _terms(selector: str) -> list[str]:
    return [term.strip() for term in selector.split(",") if term.strip()]


def _holds(term: str, values: Mapping[str, str]) -> bool:
    if " in " in term or " notin " in term:
        raise Refused(400, "BadRequest", f"set-based selectors are not known here: {term}")
    name, unequal, value = term.partition("!=")
    if unequal and name:
        return values.get(name) != value
    name, equal, value = term.partition("=")
    if equal:
        return values.get(name) == value.removeprefix("=")
    return (name.removeprefix("!") in values) is not name.startswith("!")


class _Fields(dict[str, str]):
    """An object by paths such as ``metadata.name``."""

    def __init__(self, one: Json) -> None:
        super().__init__()
        self._one = one

    def get(self, path: str, default: Any = None) -> Any:
        value: Any = self._one
        for step in path.split("."):
            value = value.get(step, {}) if isinstance(value, dict) else {}
        return default if value == {} else value
