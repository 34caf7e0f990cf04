"""Tokens as a Kubernetes API server knows them: whose they are, and what TokenReview says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A ServiceAccount's token.

    Attributes:
        namespace: Of the account.
        service_account: Its name.
        audiences: For whom the token is.
        pod_name: Of the pod that the token is bound to; empty: to none.
        pod_uid: The same.
    """

    namespace: str
    service_account: str = "default"
    audiences: tuple[str, ...] = ("https://kubernetes.default.svc",)
    pod_name: str = ""
    pod_uid: str = ""


def token_review(known: KnownToken | None, audiences: Sequence[str]) -> dict[str, Any]:
    """Return the ``status`` of a TokenReview that asks for audiences (authentication.k8s.io/v1)."""
    if known is None:
        return {"authenticated": False, "error": "[invalid bearer token, unknown]"}
    common = [one for one in audiences or known.audiences if one in known.audiences]
    if not common:
        said = f"token audiences {list(known.audiences)} is invalid for the target audiences"
        return {"authenticated": False, "error": f"[{said} {list(audiences)}]"}
    account = f"{known.namespace}:{known.service_account}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{known.namespace}"]
    extra = {POD_NAME: [known.pod_name], POD_UID: [known.pod_uid]} if known.pod_uid else {}
    user = {
        "username": f"system:serviceaccount:{account}",
        "uid": "0f0f0f0f-0000-4000-8000-000000000000",
        "groups": [*groups, "system:authenticated"],
        "extra": extra,
    }
    return {"authenticated": True, "user": user, "audiences": common}
