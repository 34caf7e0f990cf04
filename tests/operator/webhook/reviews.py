"""AdmissionReviews, and what an API server demands of the answers."""

import base64
import json
from typing import Any

from tests.operator.pods import pod

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
PODS = {"group": "", "version": "v1", "resource": "pods"}


def review(given_pod: Any = None, **request: Any) -> dict[str, Any]:
    """A review of a new pod; `...` leaves a field of the request out."""
    fields = {
        "uid": UID,
        "operation": "CREATE",
        "resource": PODS,
        "namespace": "team",
        "object": pod() if given_pod is None else given_pod,
    }
    fields |= request
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {name: value for name, value in fields.items() if value is not ...},
    }


def well_formed(body: bytes) -> dict[str, Any]:
    """The response, if the API server would take it."""
    answer = json.loads(body)
    assert answer.keys() == {"apiVersion", "kind", "response"}
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = answer["response"]
    assert isinstance(response["uid"], str)
    assert isinstance(response["allowed"], bool)
    assert ("patch" in response) == ("patchType" in response)
    if not response["allowed"]:
        assert response["status"]["message"]
        assert response["status"]["code"] >= 400
        assert "patch" not in response
    assert sum(map(len, response.get("warnings", []))) <= 4096
    assert all(len(warning) <= 256 for warning in response.get("warnings", []))
    assert all(isinstance(v, str) for v in response.get("auditAnnotations", {}).values())
    return response


def patch_of(response: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(response["patch"]))
