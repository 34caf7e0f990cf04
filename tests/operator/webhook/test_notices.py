"""What is said about a pod in Events, and about which object."""

import json

import pytest
from kubernetes_validate import validate
from tests.operator.pods import CONFIG, ENABLED, container, injected, pod
from tests.operator.webhook.reviews import review

from remora_operator.inject import InjectionConfig
from remora_operator.webhook.event_series import SeriesBook
from remora_operator.webhook.notices import notices
from remora_operator.webhook.review import answer

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "u1"}
OWNER |= {"controller": True}
OWNED = {"name": None, "generateName": "web-5d-", "ownerReferences": [OWNER]}


def _said(given, config=CONFIG, **request):
    body = json.dumps(review(given, **request)).encode()
    return notices(answer(body, lambda _: ENABLED, config, chosen=True))


def _reasons(found):
    return [(notice.type, notice.reason) for notice in found]


def test_an_injected_pod_is_one_notice_about_its_controller():
    [notice] = _said(pod(metadata=OWNED))

    assert (notice.type, notice.reason) == ("Normal", "Injected")
    assert notice.note == "the sidecar was added, transparent mode"
    assert notice.regarding.to_json() == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "namespace": "team",
        "name": "web-5d",
        "uid": "u1",
    }


@pytest.mark.parametrize(
    ("metadata", "kind", "name", "prefix"),
    [
        pytest.param({"name": "solo"}, "Pod", "solo", "", id="a pod with a name"),
        pytest.param(
            {"name": None, "generateName": "solo-"}, "Namespace", "team", "pod solo-…: ",
            id="a pod without one",
        ),
        pytest.param({"name": None}, "Namespace", "team", "a pod: ", id="nothing known"),
        pytest.param(
            {"name": "solo", "ownerReferences": [{**OWNER, "controller": None}]}, "Pod", "solo", "",
            id="an owner that controls nothing",
        ),
    ],
)  # fmt: skip
def test_without_a_controller_it_is_about_the_next_best(metadata, kind, name, prefix):
    [notice] = _said(pod(metadata=metadata))
    about = notice.regarding
    assert (about.kind, about.name, about.namespace) == (kind, name, "team")
    assert notice.note.startswith(f"{prefix}the sidecar")


def test_a_refused_pod_is_told_with_every_cause():
    given = pod(
        container(securityContext={"runAsUser": 1500, "capabilities": {"drop": ["ALL"]}}),
        container("db", ports=[{"containerPort": 15001}]),
    )
    first = _said(given)[0]
    assert (first.type, first.reason) == ("Warning", "InjectionRefused")
    assert "(Unsafe)" in first.note
    assert "runs as user 1500" in first.note
    assert "listens on a port" in first.note


def test_a_skipped_pod_is_told_why():
    [notice] = _said(pod(metadata={"labels": {"remora.dev/inject": "false"}}))
    assert (notice.type, notice.reason) == ("Normal", "InjectionSkipped")
    assert "PodOptOut" in notice.note


@pytest.mark.parametrize(
    ("given", "config", "reason"),
    [
        pytest.param(
            pod(container(env=[{"name": "SSL_CERT_FILE", "value": "/x"}])), CONFIG,
            "TrustConflict", id="trust conflict",
        ),
        pytest.param(
            pod(runtimeClassName="gvisor"), CONFIG, "Mode", id="mode chosen",
        ),
        pytest.param(
            pod(restartPolicy="Never"), InjectionConfig(native_sidecars=False),
            "ClassicSidecar", id="classic sidecar's limits",
        ),
        pytest.param(pod(container(securityContext={})), CONFIG, "Unsafe", id="hazards"),
    ],
)  # fmt: skip
def test_warnings_are_notices_of_their_own_one_for_each_kind(given, config, reason):
    assert _reasons(_said(given, config)) == [("Normal", "Injected"), ("Warning", reason)]


@pytest.mark.parametrize(
    ("given", "request_fields"),
    [
        pytest.param(pod(), {"dryRun": True}, id="dry run"),
        pytest.param(injected(pod()), {}, id="injected already"),
        pytest.param(pod(), {"operation": "DELETE"}, id="no new pod"),
        pytest.param("x", {}, id="no pod"),
    ],
)
def test_of_some_reviews_nothing_is_said(given, request_fields):
    assert _said(given, **request_fields) == ()


@pytest.mark.parametrize("letter", ["x", "ü", "€"])
def test_a_note_is_no_longer_than_the_api_server_takes(letter):
    names = {f"remora.dev/{i}{letter * 50}": "y" for i in range(100)}
    longest = _said(pod(metadata={"annotations": names}))[1]
    assert 1000 < len(longest.note.encode()) <= 1024


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_written_is_a_valid_event(times):
    book = SeriesBook("operator-1")
    for notice in _said(pod(container(securityContext={}), metadata=OWNED)) * times:
        book.note(notice, 1_767_225_600_123_456_789, 0.0)
    for series in book.due():
        event = series.event("operator-1")
        validate(event, "1.37", strict=True)
        as_the_api_server_has_it(event)
        assert event["eventTime"] == "2026-01-01T00:00:00.123456Z"


def as_the_api_server_has_it(event):
    """The rules of Kubernetes' pkg/apis/core/validation/events.go that no schema has."""
    for name in ("reportingController", "reportingInstance", "action", "reason"):
        assert 0 < len(event[name].encode()) <= 128
    assert len(event["note"].encode()) <= 1024
    assert event["type"] in ("Normal", "Warning")
    assert event["metadata"]["namespace"] == event["regarding"]["namespace"]
    assert len(event["metadata"]["name"]) <= 253
    if "series" in event:
        assert event["series"]["count"] >= 2
        assert event["series"]["lastObservedTime"]
    assert not {"deprecatedCount", "deprecatedSource"} & event.keys()
