"""What an API server does with selectors and CEL of admission, as far as our manifests use it.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ and
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from cel_expr_python import cel

type Json = Mapping[str, Any]

_NAMES = ("object", "oldObject", "request", "namespaceObject", "variables")


@cache
def compiled(expression: str) -> cel.Expression:
    """Compile as the API server does, which knows no types of what it is given."""
    return cel.NewEnv(variables=dict.fromkeys(_NAMES, cel.Type.DYN)).compile(expression)


class Failed(Exception):
    """An expression that has no value; failurePolicy decides."""


def value_of(expression: str, given: Json) -> Any:
    """Evaluate; raises `Failed` where a server would, as for a field that is not there."""
    found = compiled(expression).eval(data=dict(given))
    if found.type() == cel.Type.ERROR:
        raise Failed(f"{expression}: {found.value()}")
    return found.plain_value()


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """Tell whether a LabelSelector takes labels."""
    asked = [(k, "In", [v]) for k, v in selector.get("matchLabels", {}).items()]
    asked += [
        (e["key"], e["operator"], e.get("values")) for e in selector.get("matchExpressions", ())
    ]
    return all(_holds(labels, *one) for one in asked)


def _holds(labels: Mapping[str, str], name: str, operator: str, values: Sequence[str]) -> bool:
    match operator:
        case "In":
            return labels.get(name) in values
        case "NotIn":
            return labels.get(name) not in values
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
    raise AssertionError(operator)


def _of(one: Json | None) -> Json:
    return one if one is not None else {}


def request(
    operation: str = "CREATE",
    *,
    resource: str = "pods",
    subresource: str = "",
    namespace: str = "team",
    user: Json | None = None,
) -> Json:
    """Give a request as expressions see it: what is empty is not there."""
    return {
        "operation": operation,
        "namespace": namespace,
        "resource": {"group": "", "version": "v1", "resource": resource},
        "userInfo": user or {"username": "ann", "groups": ["system:authenticated"]},
    } | ({"subResource": subresource} if subresource else {})


def is_matched(conditions: Sequence[Json], given: Json) -> bool:
    return all(value_of(condition["expression"], given) is True for condition in conditions)


def calls(webhook: Json, namespace: Json, pod: Json, asked: Json | None = None) -> bool:
    """Tell whether an entry of a webhook configuration is asked about a pod."""
    given = {"object": pod, "request": asked or request()}
    return (
        selects(webhook["namespaceSelector"], namespace["metadata"]["labels"])
        and selects(webhook["objectSelector"], _of(pod["metadata"].get("labels")))
        and is_matched(webhook.get("matchConditions", ()), given)
    )


def constrains(policy: Json, asked: Json) -> bool:
    """Tell whether a policy is about such requests."""
    where = asked["resource"]["resource"]
    where += f"/{asked['subResource']}" if "subResource" in asked else ""
    return any(
        asked["operation"] in rule["operations"] and where in rule["resources"]
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
    )


def denials(
    policy: Json, asked: Json, pod: Json, *, old: Json | None = None, namespace: Json | None = None
) -> list[str]:
    """Give the messages with which a ValidatingAdmissionPolicy denies; none: it allows."""
    spec = policy["spec"]
    if not constrains(policy, asked):
        return []
    given: dict[str, Any] = {"object": pod, "request": asked, "variables": {}}
    given |= {} if old is None else {"oldObject": old}
    given |= {} if namespace is None else {"namespaceObject": namespace}
    if not is_matched(spec.get("matchConditions", ()), given):
        return []
    for variable in spec.get("variables", ()):
        given["variables"][variable["name"]] = value_of(variable["expression"], given)
    return [
        validation["message"]
        for validation in spec["validations"]
        if value_of(validation["expression"], given) is not True
    ]
