"""Call ids, read from whatever clients give."""

import http.client
import io
from types import SimpleNamespace

import aiohttp
import httpx
import httpx2
import openai
import pytest
import requests
import urllib3
from google.genai.types import GenerateContentResponse, HttpResponse
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from multidict import CIMultiDict, CIMultiDictProxy

from remora.feedback.call_ids import call_id_of, field_of, normal_call_id, request_id_of

CALL = "0190b5a1c0de70008000000000000001"
DASHED = "0190b5a1-c0de-7000-8000-000000000001"
FIELDS = {"content-type": "application/json", "Remora-Call-Id": CALL}


def requests_answer():
    answer = requests.Response()
    answer.headers.update(FIELDS)
    return answer


def standard_answer():
    head = b"HTTP/1.1 200 OK\r\nRemora-Call-ID: " + CALL.encode() + b"\r\n\r\n"
    answer = http.client.HTTPResponse(SimpleNamespace(makefile=lambda mode: io.BytesIO(head)))
    answer.begin()
    return answer


def openai_error():
    answer = httpx2.Response(429, headers=FIELDS, request=httpx2.Request("POST", "http://x"))
    return openai.RateLimitError("slow down", response=answer, body=None)


SHAPES = {
    "an id": CALL,
    "an id in capitals": CALL.upper(),
    "a UUID": DASHED,
    "a dict with call_id": {"call_id": CALL},
    "a dict with trace_id": {"trace_id": DASHED, "goal": "x"},
    "a dict of header fields": FIELDS,
    "httpx": httpx.Response(200, headers=FIELDS),
    "httpx2": httpx2.Response(200, headers=FIELDS),
    "requests": requests_answer(),
    "urllib3": urllib3.HTTPResponse(headers=FIELDS),
    "http.client": standard_answer(),
    "aiohttp": SimpleNamespace(headers=CIMultiDictProxy(CIMultiDict(FIELDS))),
    "an error of openai": openai_error(),
    "boto3": {"output": {}, "ResponseMetadata": {"HTTPHeaders": {"remora-call-id": CALL}}},
    "google-genai": GenerateContentResponse(sdk_http_response=HttpResponse(headers=FIELDS)),
    "langchain": AIMessage("hi", response_metadata={"headers": FIELDS}),
    "an object with call_id": SimpleNamespace(call_id=CALL),
    "a completion of kalibr": SimpleNamespace(kalibr_trace_id=CALL),
    "an object made of an answer": SimpleNamespace(response=httpx.Response(200, headers=FIELDS)),
    "pairs": SimpleNamespace(headers=[(b"Remora-Call-Id", CALL.encode())]),
}


@pytest.mark.parametrize("result", SHAPES.values(), ids=SHAPES)
def test_the_id_is_found(result):
    assert call_id_of(result) == CALL


@pytest.mark.parametrize(
    "result",
    [
        None,
        "",
        "no id",
        CALL + "\n",
        "../" + CALL,
        CALL[:-1],
        7,
        b"bytes",
        [],
        {},
        {"call_id": 7},
        {"call_id": "chatcmpl-1"},
        {"headers": {"remora-call-id": "x"}},
        AIMessage("hi"),
        httpx.Response(200),
        SimpleNamespace(headers=7),
    ],
    ids=repr,
)
def test_what_tells_no_call_gives_none(result):
    assert call_id_of(result) == ""


def test_the_names_of_an_answer_by_its_provider_are_known():
    assert request_id_of(SimpleNamespace(_request_id="req_1")) == "req_1"
    assert request_id_of(SimpleNamespace(_request_id=None)) == ""
    assert request_id_of("text") == ""


def test_objects_that_contain_themselves_are_looked_at_once():
    one = SimpleNamespace()
    one.response = one
    assert call_id_of(one) == ""


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
))  # fmt: skip
def test_any_value_gives_an_id_or_nothing(value):
    found = call_id_of(value)
    assert found == normal_call_id(found)


@given(st.sampled_from([CALL, DASHED]), st.randoms(use_true_random=False))
def test_the_case_of_names_does_not_matter(call_id, random):
    name = "".join(random.choice((c.lower(), c.upper())) for c in "remora-call-id")
    assert field_of({name: call_id}, "remora-call-id") == call_id


def test_aiohttp_has_the_fields_where_they_are_looked_for():
    assert "headers" in dir(aiohttp.ClientResponse)
