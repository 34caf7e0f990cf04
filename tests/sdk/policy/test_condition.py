import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from remora.policy.condition import BoundInputs, Condition, ConditionError
from remora.policy.condition_fields import MEMBERS
from remora.policy.routing import RouteMatch

_INPUTS = {
    "request": {
        "provider": "openai",
        "dialect": "openai-chat",
        "operation": "chat",
        "model": "gpt-4o-mini",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Write a Python function."},
        ],
        "tools": ["search", "weather"],
        "max_tokens": 512,
        "estimated_input_tokens": 12,
        "headers": {"x-team": "blue"},
    },
    "session": {"id": "sess_1", "data_id": "d", "combo_id": "c", "agent_id": "a"},
    "task": {"id": "t"},
    "pod": {"name": "p", "namespace": "n", "labels": {"app.kubernetes.io/name": "research"}},
    "now": datetime(2026, 11, 21, 23, 30, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ("request.messages.size() < 40", True),
        ('request.model.startsWith("gpt-") && !request.stream', False),
        ('request.provider == "openai" && request.dialect == "openai-chat"', True),
        ('request.operation in ["chat", "embeddings"]', True),
        ('request.model.matches("^gpt-[0-9]+o")', True),
        ('request.messages.exists(m, m.role == "user" && m.content.contains("Python"))', True),
        ('request.messages.all(m, m.role == "user")', False),
        ('request.messages.exists_one(m, m.role == "system")', True),
        ('request.messages.filter(m, m.role == "user").size() == 1', True),
        ('request.messages.map(m, m.role) == ["system", "user"]', True),
        ('request.messages[request.messages.size() - 1].role == "user"', True),
        ('"search" in request.tools', True),
        ("has(request.max_tokens) && request.max_tokens > 1000", False),
        ("request.estimated_input_tokens > 10 ? request.stream : false", True),
        ('request.headers["x-team"] == "blue"', True),
        ('has(request.headers.absent) && request.headers.absent == "x"', False),
        ('"x-team" in request.headers', True),
        ('session.id == "sess_1" && session.data_id == "d"', True),
        ('task.id != ""', True),
        ('pod.labels["app.kubernetes.io/name"] == "research" && pod.namespace == "n"', True),
        ('now > timestamp("2026-11-21T00:00:00Z")', True),
        ('now.getHours() >= 22 || now.getHours("Europe/Berlin") < 6', True),
        ('now - timestamp("2026-11-21T23:00:00Z") < duration("1h")', True),
    ],
)  # fmt: skip
def test_a_condition_holds_of_a_call_or_not(text: str, holds: bool) -> None:
    assert Condition.compile(text).holds(_INPUTS) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mismatched input '<EOF>'"),
        ("request.model ==", "mismatched input '<EOF>' at column"),
        ("request.mesages.size() > 1", "no member 'mesages'; did you mean 'messages'? at column 8"),
        ("request.nope == 1", "no member 'nope'; known are dialect"),
        ("requests == 1", "no variable or function 'requests'; did you mean 'request'?"),
        ("true &&\n foo", "no variable or function 'foo'; variables are now, pod"),
        ("request.messages.exists(m, m.text == '')", "'message' has no member 'text'"),
        ("request.model > 3", "'>' does not take (string, int)"),
        ("request.model.foo()", "no variable or function 'foo'"),
        ("request.model", "should be true or false, not string"),
        ("request == request", "'request' is no value by itself; it has provider"),
        ("dyn(request).nope == 1", "'request' is no value by itself"),
        ("[1].exists(request, request == 1)", "can't be called 'request'"),
        ('request.model.matches("(")', "'(' is no regular expression: missing )"),
        ("request.model.matches(session.id)", "pattern of matches() should be written out"),
        ("{request.tools: 1}", "Unsupported map key type: LIST<STRING>"),
        ("(" * 100 + "true" + ")" * 100, "nested deeper than 32 levels"),
        ("!" * 5000 + "true", "at most 4096 characters"),
        ("'\ud800' == ''", "Unicode text"),
        ("'\0' == ''", "Unicode text"),
    ],
)  # fmt: skip
def test_an_author_is_told_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError) as problem:  # noqa: PT011  # the text is looked at
        Condition.compile(text)
    assert said in str(problem.value)
    assert "INVALID_ARGUMENT" not in str(problem.value)


_M = "request.messages"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{_M}.all(a, {_M}.all(b, {_M}.all(c, true)))", "more than 2 deep"),
        (" || ".join([f'{_M}.all(m, m.role == "")'] * 9), "more than 8 macros"),
        (f"{_M}.all(m, {' && '.join(['m.role != m.content'] * 20)})", "more than 32 calls"),
        (f"{_M}.all(a, {_M}.map(b, b).size() > 0)", "filter() and map() can't stand inside"),
        (f"{_M}.all(a, {_M}.filter(b, true).size() > 0)", "filter() and map() can't stand"),
        (f'{_M}.map(m, m.content + m.content).size() > 0', "put together"),
        (f'{_M}.map(m, dyn(m.content) + dyn("")).size() > 0', "put together"),
        (f'{_M}.map(m, bytes(m.content)).size() > 0', "put together or copied"),
        (f"{_M}.map(m, [m, m]).size() > 0", "a list can't be written inside"),
        (f'{_M}.map(m, {{"a": m}}).size() > 0', "a map can't be written inside"),
        (f'{_M}.all(m, {_M}[0].content.contains("x"))', "may search what the macro goes through"),
        (f'{_M}.all(m, request.model.matches("x"))', "may search what the macro goes through"),
        (f"{_M}.all(m, {_M} == [m])", "may be gone through, indexed and counted only"),
        (f"{_M}.map(m, {_M}).size() > 0", "may be gone through, indexed and counted only"),
        (f"{_M}.all(m, request.tools == [''])", "may be gone through, indexed"),
        (f"{_M}.all(m, m.content.matches('a{{300}}'))", "costs too much inside a macro"),
        (f"{_M}.all(m, m.content.matches('\\\\pL'))", "costs too much inside a macro"),
        (f"{_M}.all(a, {_M}.all(b, b.content.matches('a')))", "a macro within a macro"),
        (" && ".join(["''.matches('a')"] * 9), "more than 8 patterns"),
        (f"''.matches('{'a' * 257}')", "more than 256 characters"),
        ("[" + "1," * 257 + "].size() > 0", "more than 256 elements"),
    ],
)  # fmt: skip
def test_what_may_cost_too_much_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError) as problem:  # noqa: PT011  # the text is looked at
        Condition.compile(text)
    assert said in str(problem.value)


@pytest.mark.parametrize(
    "text",
    [
        'request.tools.exists(t, request.messages.exists(m, m.content.contains(t)))',
        "request.messages.filter(m, m.content.size() + 3 > 4).size() > 1",
        'request.messages.map(m, m.role == "user", m.content).exists(c, c.contains("x"))',
        "[1, 2].exists_one(x, x == 1)",
        "request.messages.exists(m, m.content == request.messages[0].content)",
        "request.messages.exists(m, m.role in request.tools && request.messages.size() > 1)",
        "request.messages.exists(m, m.content.matches('(?i)\\\\bpython\\\\b'))",
        "request.model.matches('^gpt-[0-9]{1,2}$')",
        '(request.model + request.provider).startsWith("gpt")',
    ],
)  # fmt: skip
def test_what_macros_are_for_is_taken(text: str) -> None:
    Condition.compile(text)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("true", set()),
        ("request.messages.size() < 40", {"messages"}),
        ('request.model == "a" && has(request.max_tokens)', {"model", "max_tokens"}),
        ('session.id == "" && pod.labels.a == "" && now.getHours() == 1', set()),
        ('.request.model == "a" // request.tools', {"model"}),
        ('"request.tools" == request . headers ["a"]', {"headers"}),
        ('request.tools.exists(m, m == request.provider)', {"tools", "provider"}),
        ('{"a": request.stream}["a"] || [request.dialect] == ["b"]', {"stream", "dialect"}),
    ],
)  # fmt: skip
def test_a_condition_says_what_of_a_request_it_reads(text: str, needs: set[str]) -> None:
    assert Condition.compile(text).needs == needs


@pytest.mark.parametrize("name", sorted(MEMBERS["request"]))
def test_only_what_a_condition_needs_has_to_be_there(name: str) -> None:
    condition = Condition.compile(f"request.{name} == request.{name}")
    assert condition.needs == {name}
    assert condition.holds({"request": {name: _INPUTS["request"][name]}})  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('request.headers["absent"] == "a"', "it asks for 'absent', which this call has not"),
        ("request.messages[7].role == ''", "past the end of a list"),
        ("request.headers[request.model] == ''", "it asks for what this call has not"),
        ("1 / (request.max_tokens - 512) == 1", "divides by zero"),
        ("request.max_tokens + 9223372036854775807 > 0", "out of range"),
        ("int(request.model) == 1", "can't be turned into"),
        ('timestamp(request.model) > now', "can't be turned into"),
    ],
)  # fmt: skip
def test_a_condition_that_fails_says_why_and_nothing_of_the_call(text: str, said: str) -> None:
    with pytest.raises(ConditionError) as problem:
        Condition.compile(text).holds(_INPUTS)
    assert said in str(problem.value)
    assert "gpt-4o-mini" not in str(problem.value)


def test_macros_end_after_ten_thousand_steps() -> None:
    messages = [{"role": "user", "content": "a"}] * 200
    condition = Condition.compile(f"{_M}.all(a, {_M}.all(b, a.role == b.role))")
    with pytest.raises(ConditionError, match="10,000 steps"):
        condition.holds({"request": {"messages": messages}})


@pytest.mark.parametrize(
    "value",
    [{1, 2}, object(), "\ud800", 2**70, {1.5: 1}, datetime(2026, 1, 1)],
    ids=["set", "object", "surrogate", "too large", "key", "no zone"],
)
def test_inputs_that_cel_does_not_know_are_failures_of_the_condition(value: object) -> None:
    with pytest.raises(ConditionError):
        Condition.compile("request.model == 'a'").holds({"request": {"model": value}, "now": value})


def test_inputs_bound_once_serve_many_conditions() -> None:
    bound = BoundInputs(_INPUTS)
    assert Condition.compile("request.stream").holds(bound)
    assert not Condition.compile("!request.stream").holds(bound)


def test_conditions_of_one_text_are_equal() -> None:
    one, other = Condition.compile("true"), Condition.compile("true")
    assert one == other
    assert {one, other} == {one}
    assert one != Condition.compile("false")
    assert (str(one), repr(one)) == ("true", "Condition('true')")


def test_a_document_with_a_wrong_condition_is_refused_with_the_reason() -> None:
    with pytest.raises(ValidationError, match="did you mean 'messages'"):
        RouteMatch(condition="request.mesages.size() < 40")
    assert RouteMatch(condition="request.messages.size() < 40").condition


def test_documents_without_conditions_do_not_load_the_cel_library() -> None:
    script = (
        "import sys, remora.policy; from remora.policy.routing import RouteMatch; "
        "RouteMatch(models=['a']); loaded = [m for m in sys.modules if 'cel_expr' in m]; "
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


_PIECES = st.sampled_from(
    [
        "request", "session", "now", "pod", "m", ".", ".messages", ".model", ".headers", "[", "]",
        "(", ")", "{", "}", ",", ":", "?", "'a'", '"', "'", "\\", "r'", "b'", "1", "-1", "1u",
        "1.5", "0x1F", "9" * 20, "true", "null", "&&", "||", "!", "==", "<", "+", "-", "*", "/",
        "%", " in ", ".all(m,", ".exists(m,", ".map(m,", ".filter(m,", ".size()", ".matches(",
        "has(", "size(", "int(", "dyn(", "type(", "timestamp(", "duration(", "cel.bind(", "//",
        "\n", "\t", "\u00e9", "\U0001f600", "`", "google.protobuf.Any{", "(?i)", "a{1000}",
    ]
)  # fmt: skip


@settings(max_examples=400)
@given(st.one_of(st.text(max_size=80), st.lists(_PIECES, max_size=30).map("".join)))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        condition = Condition.compile(text)
    except ValueError:
        return
    with suppress(ConditionError):
        assert condition.holds(_INPUTS) in (True, False)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=200)
@given(_VALUES)
def test_no_value_does_more_than_fail_a_condition(value: object) -> None:
    condition = Condition.compile(
        "request.model == 'a' || request.messages.exists(m, m.role == 'x') || request.stream"
    )
    with suppress(ConditionError):
        condition.holds({"request": {"model": value, "messages": value, "stream": value}})
