"""Regular expressions of policies are checked when a document is read."""

import sys

import pytest
from pydantic import ValidationError

from remora.policy.limits import Redaction, RedactionPattern
from remora.policy.regexes import regex_problem


@pytest.mark.parametrize(
    "regex", [r"EMP-\d{6}", r"(?i)blue (falcon|heron)", r"\bO'Neill\b", r"\p{L}+"]
)
def test_what_re2_reads_is_taken(regex):
    assert RedactionPattern(name="x", regex=regex).regex == regex


@pytest.mark.parametrize(
    ("regex", "why"),
    [
        (r"(?=ahead)x", r"invalid perl operator: \(\?="),
        (r"(a)\1", r"invalid escape sequence: \\1"),
        (r"a(", r"missing \): a\("),
        (r"a)(b", r"unexpected \)"),
        (r"a{2000}", "invalid repetition size"),
    ],
)
def test_what_re2_does_not_read_is_refused_with_the_reason(regex, why):
    with pytest.raises(ValidationError, match=f"is no regular expression in RE2's syntax: {why}"):
        Redaction(patterns=[{"name": "x", "regex": regex}])


def test_without_the_library_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    assert "install remora[sidecar]" in regex_problem("x")


def test_a_document_without_patterns_needs_no_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    assert Redaction(mode="digest").patterns == ()
