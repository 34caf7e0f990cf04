"""Why calls fail, sorted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.outcomes import CATEGORIES, category_of
from remora_sidecar.policy.failures import Failure


@pytest.mark.parametrize(
    ("status", "error_type", "failure", "message", "category"),
    [
        (429, "rate_limit_error", "rate_limited", "", "rate_limited"),
        (429, "", "", "", "rate_limited"),
        (400, "ThrottlingException", "", "", "rate_limited"),
        (429, "insufficient_quota", "rate_limited", "You exceeded your quota", "rate_limited"),
        (401, "invalid_request_error", "", "Incorrect API key provided", "auth_error"),
        (403, "permission_error", "credential", "", "auth_error"),
        (400, "AccessDeniedException", "", "", "auth_error"),
        (400, "context_length_exceeded", "request", "", "context_exceeded"),
        (
            400, "invalid_request_error", "request",
            "prompt is too long: 210000 tokens > 200000 maximum", "context_exceeded",
        ),
        (400, "invalid_request_error", "request", "temperature is above 2", "validation_failed"),
        (400, "ValidationException", "", "", "validation_failed"),
        (422, "", "", "", "validation_failed"),
        (400, "content_filter", "request", "", "validation_failed"),
        (500, "server_error", "server_error", "", "provider_error"),
        (529, "overloaded_error", "overloaded", "", "provider_error"),
        (503, "", "", "", "provider_error"),
        (404, "model_not_found", "not_found", "", "provider_error"),
        (0, "connect", "connect", "", "provider_error"),
        (0, "first_byte_timeout", "timeout", "", "timeout"),
        (504, "", "", "", "timeout"),
        (200, "idle_timeout", "", "", "timeout"),
        (200, "provider_cut", "", "", "provider_error"),
        (400, "tool_use_failed", "request", "", "tool_error"),
        (200, "usage_unreadable", "", "", "malformed_output"),
        (0, "", "", "", "unknown"),
        (200, "something_else", "", "", "unknown"),
    ],
)  # fmt: skip
def test_a_failure_is_sorted_by_what_tells_the_most(
    status: int, error_type: str, failure: str, message: str, category: str
) -> None:
    assert category_of(status, error_type, failure, message) == category


@pytest.mark.parametrize("failure", [f for f in Failure if f is not Failure.REQUEST])
def test_every_word_that_attempts_fail_by_has_a_category(failure: Failure) -> None:
    assert category_of(failure=failure.value) != "unknown"


def test_there_are_thirteen_categories_each_once() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 13


@given(st.integers(0, 599), st.text(max_size=60), st.text(max_size=20), st.text(max_size=200))
def test_whatever_is_said_the_category_is_one_of_them(
    status: int, error_type: str, failure: str, message: str
) -> None:
    assert category_of(status, error_type, failure, message) in CATEGORIES
