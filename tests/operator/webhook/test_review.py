"""The AdmissionReview protocol: whatever comes in, the API server can read what goes out."""

import copy
import json

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.pods import CONFIG, ENABLED, container, pod, recorded_reviews
from tests.operator.webhook.reviews import UID, patch_of, review, well_formed

from remora_operator.inject import Injection, InjectionConfig, Namespace, Refuse, Skip, inject
from remora_operator.webhook.review import MAX_REVIEW_BYTES, answer


def _answered(given, namespace=ENABLED, config=CONFIG, **options):
    body = given if isinstance(given, bytes) else json.dumps(given).encode()
    found = answer(body, lambda _: namespace, config, **options)
    return found, well_formed(found.body)


def test_a_pod_gets_itspatch_of():
    found, response = _answered(review())

    assert response["uid"] == UID
    assert response["allowed"]
    assert response["patchType"] == "JSONPatch"
    assert isinstance(found.decision, Injection)
    assert patch_of(response) == [o.as_json() for o in inject(pod(), ENABLED, CONFIG).operations]
    assert response["auditAnnotations"] == {"mode": "transparent", "hash": found.decision.digest}


def test_an_injected_pod_gets_none():
    once = jsonpatch.JsonPatch(patch_of(_answered(review())[1])).apply(pod())
    _, response = _answered(review(once))
    assert response["allowed"]
    assert "patch" not in response


def test_a_refused_pod_hears_why():
    given_pod = pod(container(securityContext={"runAsUser": 1500}))
    found, response = _answered(review(given_pod))

    assert isinstance(found.decision, Refuse)
    assert response["status"]["code"] == 403
    assert "runs as user 1500" in response["status"]["message"]
    assert response["auditAnnotations"] == {"refused": "Unsafe"}


def test_a_skipped_pod_is_allowed_as_it_is():
    found, response = _answered(review(), Namespace("team"))
    assert isinstance(found.decision, Skip)
    assert response["allowed"]
    assert response["auditAnnotations"] == {"skipped": "NotSelected"}


@pytest.mark.parametrize(
    ("namespace", "chosen", "injected"),
    [
        pytest.param(Namespace("team"), False, False, id="labels say no"),
        pytest.param(Namespace("team"), True, True, id="the API server's selectors chose"),
        pytest.param(None, False, True, id="the namespace is unknown, or gone"),
        pytest.param(
            Namespace("team", {"remora.dev/injection": "disabled"}), True, False, id="opt-out"
        ),
    ],
)
def test_labels_that_are_older_than_the_api_servers_unselect_nothing(namespace, chosen, injected):
    found, response = _answered(review(), namespace, chosen=chosen)
    assert response["allowed"]
    assert isinstance(found.decision, Injection) == injected


@pytest.mark.parametrize(
    "request_fields",
    [
        pytest.param({"operation": "UPDATE"}, id="update"),
        pytest.param({"operation": "DELETE", "object": None}, id="delete"),
        pytest.param({"operation": "CONNECT", "subResource": "exec"}, id="connect"),
        pytest.param({"subResource": "binding"}, id="binding"),
        pytest.param({"subResource": "eviction", "object": {}}, id="eviction"),
        pytest.param({"resource": {"group": "apps", "resource": "deployments"}}, id="deployment"),
        pytest.param({"resource": {"group": "metrics.k8s.io", "resource": "pods"}}, id="not core"),
        pytest.param({"resource": None}, id="no resource"),
        pytest.param({"operation": ...}, id="no operation"),
    ],
)
def test_what_is_no_new_pod_passes(request_fields):
    found, response = _answered(review(**request_fields))
    assert response == {"uid": UID, "allowed": True}
    assert found.decision is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", 400, id="empty"),
        pytest.param(b"\x00\xff", 400, id="binary"),
        pytest.param(b"[]", 400, id="list"),
        pytest.param(b"null", 400, id="null"),
        pytest.param(b"[" * 100_000, 400, id="nesting"),
        pytest.param(b"{}", 400, id="no request"),
        pytest.param(b'{"request": {"uid": 7}}', 400, id="uid that is no text"),
        pytest.param(b" " * (MAX_REVIEW_BYTES + 1), 413, id="too large"),
    ],
)
def test_garbage_is_denied(body, code):
    found, response = _answered(body)
    assert (response["allowed"], response["uid"]) == (False, "")
    assert response["status"]["code"] == code
    assert found.error is None


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"apiVersion": "admission.k8s.io/v1beta1"}, id="version"),
        pytest.param({"kind": "Pod"}, id="kind"),
        pytest.param({"apiVersion": None}, id="no version"),
    ],
)
def test_another_protocol_is_denied_and_its_uid_echoed(changed):
    _, response = _answered({**review(), **changed})
    assert (response["uid"], response["allowed"]) == (UID, False)


@pytest.mark.parametrize("given_object", [..., None, [], "pod", {}, {"spec": 1}])
def test_a_new_pod_that_is_none_is_denied(given_object):
    _, response = _answered(review(object=given_object))
    assert (response["uid"], response["allowed"]) == (UID, False)


def test_an_accident_in_here_denies_the_pod_and_is_told_to_the_caller():
    def broken(_):
        raise LookupError("the informer")

    found = answer(json.dumps(review()).encode(), broken, CONFIG)

    response = well_formed(found.body)
    assert (response["uid"], response["status"]["code"]) == (UID, 500)
    assert isinstance(found.error, LookupError)
    assert "informer" not in found.body.decode()


def test_the_subject_is_known_for_events():
    owner = {"kind": "ReplicaSet", "name": "r", "controller": True}
    given_pod = pod(metadata={"name": None, "generateName": "r-", "ownerReferences": [owner]})
    subject = _answered(review(given_pod, dryRun=True))[0].subject

    assert (subject.namespace, subject.name, subject.generate_name) == ("team", "", "r-")
    assert subject.owners == (owner,)
    assert subject.dry_run
    assert not _answered(review())[0].subject.dry_run


def test_warnings_are_cut_where_the_api_server_would():
    names = {f"remora.dev/{i}{'x' * 50}": "y" for i in range(100)}
    found, response = _answered(review(pod(metadata={"annotations": names})))
    assert len(found.decision.warnings) == 100
    assert 10 < len(response["warnings"]) < 100


def test_a_pod_of_three_megabytes_is_answered():
    large = pod(metadata={"annotations": {"x": "y" * 3_000_000}})
    _, response = _answered(review(large))
    assert response["allowed"]
    assert len(response["patch"]) < 50_000


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(body):
    _answered(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=6,
    ),
    st.sampled_from([("request",), ("request", "object"), ("request", "uid"), ("kind",),
                     ("request", "namespace"), ("request", "resource"), ("request", "name"),
                     ("request", "object", "metadata"), ("request", "object", "spec")]),
)  # fmt: skip
def test_no_junk_in_a_review_makes_it_raise(junk, place):
    given = copy.deepcopy(review())
    target = given
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = junk
    found, _ = _answered(given)
    assert found.error is None


def test_recorded_reviews_are_answered():
    reviews = recorded_reviews()
    if not reviews:
        pytest.skip("no recorded reviews: set REMORA_CORPUS to their folder")
    patched = 0
    for recorded in reviews:
        request = recorded.review["request"]
        found, response = _answered(recorded.review, ENABLED)
        assert response["uid"] == request["uid"]
        assert found.error is None
        if recorded.is_new_pod:
            decision = inject(recorded.pod, ENABLED, InjectionConfig())
            assert type(found.decision) is type(decision)
            patched += "patch" in response
        else:
            assert response == {"uid": request["uid"], "allowed": True}
    assert patched > 250
