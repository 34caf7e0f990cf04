import json
import time

from bench.admission import measured, recorded_bodies, served
from tests.operator.pods import corpus_folder, pod, recorded_reviews


def test_answers_take_time():
    request = {"uid": "u", "operation": "CREATE", "object": pod(), "namespace": "n"}
    request["resource"] = {"group": "", "resource": "pods"}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

    spread = measured([json.dumps(review).encode()], 3, time.perf_counter_ns)

    assert spread.count == 3
    assert 0 < spread.median_ms <= spread.p99_ms <= spread.longest_ms


def test_every_recorded_review_is_answered(tmp_path):
    folder = corpus_folder() or tmp_path
    assert len(recorded_bodies(folder)) == len(recorded_reviews())


def test_the_server_answers_over_every_connection():
    request = {"uid": "u", "operation": "CREATE", "object": pod(), "namespace": "n"}
    request["resource"] = {"group": "", "resource": "pods"}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

    result = served([json.dumps(review).encode()] * 4, 3, connections=2)

    assert result.spread.count == 12
    assert 0 < result.spread.median_ms <= result.spread.longest_ms
