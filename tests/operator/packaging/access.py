"""What RBAC allows an account, worked out from manifests.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

type Json = Mapping[str, Any]


@dataclass(frozen=True)
class Attempt:
    """What is asked for.

    Attributes:
        verb: Such as ``get``.
        group: Of the API; empty for the core.
        resource: The plural, with a subresource after a slash.
        namespace: Where; empty: in all, or of no namespace.
        name: Of one object, also where a field selector of a list names it; empty: of any.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


def allows(objects: Sequence[Json], account: str, namespace: str, attempt: Attempt) -> bool:
    """Tell whether bindings among the objects give an account a right."""
    return any(_fits(rule, attempt) for rule in _rules(objects, account, namespace, attempt))


def _rules(
    objects: Sequence[Json], account: str, namespace: str, attempt: Attempt
) -> Iterator[Json]:
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    roles = {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one["rules"]
        for one in objects
        if one["kind"] in ("Role", "ClusterRole")
    }
    for binding in objects:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        where = binding["metadata"].get("namespace", "")
        if subject in binding["subjects"] and where in ("", attempt.namespace):
            role = binding["roleRef"]
            yield from roles.get(
                (role["kind"], where if role["kind"] == "Role" else "", role["name"]), ()
            )


def _fits(rule: Json, attempt: Attempt) -> bool:
    names = rule.get("resourceNames")
    return (
        attempt.verb in rule["verbs"]
        and attempt.group in rule["apiGroups"]
        and attempt.resource in rule["resources"]
        and (names is None or attempt.name in names)
    )
