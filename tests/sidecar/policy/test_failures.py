import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.records import CallError
from remora_sidecar.policy.failures import (
    Failure,
    failure_of_error,
    failure_of_kind,
    failure_of_status,
    pause_s,
    retry_after_s,
)

F = Failure


@pytest.mark.parametrize(
    ("status", "failure", "may_retry", "may_fall_back"),
    [
        (200, None, None, None),
        (206, None, None, None),
        (304, None, None, None),
        (400, F.REQUEST, False, False),
        (401, F.CREDENTIAL, False, True),
        (402, F.CREDENTIAL, False, True),
        (403, F.CREDENTIAL, False, True),
        (404, F.NOT_FOUND, False, True),
        (408, F.TIMEOUT, True, True),
        (409, F.SERVER, True, True),
        (413, F.REQUEST, False, False),
        (422, F.REQUEST, False, False),
        (429, F.RATE_LIMITED, True, True),
        (500, F.SERVER, True, True),
        (502, F.SERVER, True, True),
        (503, F.OVERLOADED, True, True),
        (529, F.OVERLOADED, True, True),
    ],
)
def test_each_status_has_its_class(status, failure, may_retry, may_fall_back):
    found = failure_of_status(status)
    assert found is failure
    if found is not None:
        assert (found.may_retry, found.may_fall_back) == (may_retry, may_fall_back)


@pytest.mark.parametrize(
    ("kind", "failure"),
    [
        ("connect", F.CONNECT),
        ("connect_timeout", F.TIMEOUT),
        ("first_byte_timeout", F.TIMEOUT),
        ("disconnected", F.DISCONNECTED),
        ("invalid_answer", F.DISCONNECTED),
        ("credential_missing", F.CREDENTIAL),
        ("unaskable", F.NOT_FOUND),
    ],
)
def test_each_kind_of_silence_has_its_class(kind, failure):
    assert failure_of_kind(kind) is failure


@pytest.mark.parametrize(
    ("type_", "failure"),
    [
        ("overloaded_error", F.OVERLOADED),
        ("rate_limit_error", F.RATE_LIMITED),
        ("rate_limit_exceeded", F.RATE_LIMITED),
        ("ThrottlingException", F.RATE_LIMITED),
        ("RESOURCE_EXHAUSTED", F.RATE_LIMITED),
        ("UNAVAILABLE", F.OVERLOADED),
        ("server_error", F.SERVER),
        ("api_error", F.SERVER),
        ("authentication_error", F.CREDENTIAL),
        ("insufficient_quota", F.CREDENTIAL),
        ("invalid_request_error", F.REQUEST),
        ("validationException", F.REQUEST),
        ("", F.SERVER),
    ],
)
def test_each_error_in_a_200_has_its_class(type_, failure):
    assert failure_of_error(CallError(type_, "")) is failure


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("2", 2.0),
        ("0.5", 0.5),
        ("-1", None),
        ("nan", None),
        ("1e99", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value, seconds):
    assert retry_after_s(value, 10.0) == seconds


@given(st.text(), st.floats(min_value=0, max_value=4e9))
def test_no_retry_after_makes_it_raise(value, now_unix_s):
    found = retry_after_s(value, now_unix_s)
    assert found is None or found >= 0


@given(
    st.integers(1, 1000),
    st.floats(0.001, 10),
    st.floats(10, 100),
    st.floats(0, 1),
)
def test_a_pause_grows_from_the_first_to_the_longest(retry, initial_s, max_s, chance):
    pause = pause_s(retry, initial_s, max_s, chance)
    assert 0.8 * initial_s - 1e-9 <= pause <= max_s
    assert pause_s(retry + 1, initial_s, max_s, chance) >= pause
