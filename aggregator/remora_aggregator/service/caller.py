"""Who asks, and whose records and tasks that lets them see and write."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from remora.errors import BadRequest
from remora_aggregator.service.permissions import Act, may
from remora_aggregator.service.permissions import Role as Role

type Metadata = Iterable[tuple[str, str | bytes]]
"""Of a gRPC call."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose records a caller may read.

    Attributes:
        namespaces: Of these; None: of all.
        pod_uid: Only of this pod; empty: of every one.
    """

    namespaces: tuple[str, ...] | None
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the server found out itself.

    Attributes:
        namespace: Its own, which it writes in; empty: it has none.
        role: What it is.
        name: By which the server tells it from others of its namespace and says who did what.
        sees: Namespaces that it may look at beside its own; None: all.
        pod_uid: Of the pod that it proved to be; empty: it proved to be none.
    """

    namespace: str
    role: Role
    name: str
    sees: frozenset[str] | None = frozenset()
    pod_uid: str = ""

    @property
    def namespaces(self) -> frozenset[str] | None:
        """All that it may look at; None: every one."""
        if self.sees is None:
            return None
        return self.sees | {self.namespace} if self.namespace else self.sees

    @property
    def key(self) -> str:
        """What tells it from every other caller."""
        namespaces = "*" if self.namespaces is None else ",".join(sorted(self.namespaces))
        return f"{self.role.value} {self.name} {namespaces} {self.pod_uid}"

    @property
    def home(self) -> str:
        """The namespace that it writes in.

        Raises:
            BadRequest: It has none (status 403).
        """
        if not self.namespace:
            text = f"{self.name!r} is of no one namespace, and so can't write in its own"
            raise BadRequest(text, status=403, code="no_namespace")
        return self.namespace

    @property
    def scope(self) -> Scope:
        """Whose records it may read.

        Raises:
            BadRequest: It is a reporter that did not prove which pod it is (status 403).
        """
        namespaces = self.namespaces
        seen = None if namespaces is None else tuple(sorted(namespaces))
        if self.role is not Role.REPORTER:
            return Scope(seen)
        if not self.pod_uid:
            text = "a reporter reads its own pod's records, and this token is bound to no pod"
            raise BadRequest(text, status=403, code="no_pod")
        return Scope((self.home,), self.pod_uid)

    def namespace_of(self, wanted: str) -> str:
        """Return the namespace that is asked for; if none is, its own or the only one it sees.

        Raises:
            BadRequest: It may not look at it (status 403), or has to say which one it means.
        """
        seen = self.namespaces
        if wanted and seen is not None and wanted not in seen:
            reads = ", ".join(sorted(seen)) or "none"
            text = f"this connection reads namespace {reads} only, not {wanted!r}"
            raise BadRequest(text, status=403, code="other_namespace")
        if wanted or self.namespace:
            return wanted or self.namespace
        if seen is not None and len(seen) == 1:
            return next(iter(seen))
        raise BadRequest("say which namespace is meant: this connection has no one of its own")

    def must(self, act: Act) -> None:
        """Raise BadRequest (status 403) unless its role may do something."""
        if not may(self.role, act):
            text = f"a {self.role.value} may not {act.value}"
            raise BadRequest(text, status=403, code="not_allowed")


class Callers(Protocol):
    """Says who a call comes from, to the service that carries it out."""

    def caller(self, metadata: Metadata) -> Caller:
        """Return the caller; raises BadRequest with status 401."""
        ...
