"""The checks of an answer's form, one by one and by default contracts."""

import json
import warnings
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.learning.signals import MEANINGS
from remora.outcomes import CATEGORIES, GENERAL, Answer, Contract, default_contract
from remora.outcomes.checks import CATEGORY_OF, evaluate, provider_error
from remora.outcomes.contracts import DEFAULTS, PLAIN
from remora.outcomes.goals import GOALS
from remora.outcomes.json_schema import JsonSchema, schema_problem

TICKET = JsonSchema(
    {
        "type": "object",
        "required": ["id", "tags"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "pattern": "^T-[0-9]+$"},
            "tags": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/tag"}},
            "at": {"type": "string", "format": "date-time"},
        },
        "$defs": {"tag": {"type": "string"}},
    }
)
PYTHON = Contract(code="python")
CODE = Contract(code="any")
IS_JSON = Contract(is_json=True)
SCHEMA = Contract(schema=TICKET)
LABELS = Contract(labels=frozenset({"positive", "negative"}))
SCORE = Contract(number=(0, 100))


def failed(text: str, contract: Contract = PLAIN, **more: object) -> tuple[str, ...]:
    """Names of the checks that an answer fails."""
    outcome = evaluate(replace(Answer(text), **more), contract)
    assert outcome is not None
    return outcome.failed_checks


@pytest.mark.parametrize(
    ("text", "contract", "names"),
    [
        ("Good day.", Contract(), ()),
        ("", Contract(), ("non-empty",)),
        (" \n\t ", Contract(), ("non-empty",)),
        ("I'm sorry, but I can't assist with that.", Contract(), ("refusal",)),
        ("I'm sorry, but I can't assist with that.", Contract(refusals_fail=False), ()),
        ("I'm sorry, but I can't assist with that.", IS_JSON, ("refusal",)),
        # JSON
        ('{"a": 1}', IS_JSON, ()),
        ('```json\n{"a": 1}\n```', IS_JSON, ()),
        ('Here it is:\n```json\n{"a": 1}\n```', IS_JSON, ()),
        ("12", IS_JSON, ()),
        ('{"a": 1', IS_JSON, ("json",)),
        ("There is no JSON.", IS_JSON, ("json",)),
        ("```json\n{}\n```\n```json\n{}\n```", IS_JSON, ("json",)),
        ("[" * 100_000, IS_JSON, ()),  # cannot be told
        # schema
        ('{"id": "T-1", "tags": ["a", "b"]}', SCHEMA, ()),
        ('{"id": "T-1", "tags": ["a", "a"]}', SCHEMA, ("schema",)),
        ('{"id": "x", "tags": []}', SCHEMA, ("schema",)),
        ('{"id": "T-1", "tags": [1]}', SCHEMA, ("schema",)),
        ('{"tags": []}', SCHEMA, ("schema",)),
        ('{"id": "T-1", "tags": [], "at": "not a date"}', SCHEMA, ()),  # formats are off
        ("nothing", SCHEMA, ("json",)),
        # Python
        ("def f():\n    return 1\n", PYTHON, ()),
        ("```python\nx = 1\n```", PYTHON, ()),
        ("Use this:\n```py\nx = 1\n```\nand run\n```\n$ python x.py\n```", PYTHON, ()),
        ("```\nx = 1\n```", PYTHON, ()),
        ("    x = 1\n    y = 2", PYTHON, ()),
        (">>> x = 1\n>>> for i in x:\n...     print(i)\n1", PYTHON, ()),
        ("```python\n%matplotlib inline\n!pip install x\nawait f()\n```", PYTHON, ()),
        ("```python\nx = '\\d'\n```", PYTHON, ()),
        ("```python\ndef f(:\n```", PYTHON, ("code",)),
        ("```python\nx = [1,\n```", PYTHON, ("code",)),
        ("```js\nlet x = 1\n```", PYTHON, ("code",)),
        ("I would write a loop.", PYTHON, ("code",)),
        ("x = '\0'", PYTHON, ("code",)),
        ("-" * 60_000 + "1", PYTHON, ()),  # too deep to be told
        # any code
        ("```js\nfunction f() { return '{' }\n```", CODE, ()),
        ("```rust\nfn f<'a>(x: &'a str) -> &'a str { x }\n```", CODE, ()),
        ("```sql\nSELECT 1\n```", CODE, ()),
        ("function f() { return 1 }", CODE, ()),
        ("print('x')", CODE, ()),
        ("```go\nfunc main() {\n  if x {\n```", CODE, ("code",)),
        ("```go\nfunc main() {\n  if x {", CODE, ("code",)),
        ("```python\nx = = 1\n```", CODE, ("code",)),
        ("I have thought about it", CODE, ("code",)),
        # labels
        ("positive", LABELS, ()),
        ("**Positive.**", LABELS, ()),
        ("Label: negative", LABELS, ()),
        ('{"label": "Negative"}', LABELS, ()),
        ('"positive"', LABELS, ()),
        ("neutral", LABELS, ("label",)),
        ("It is positive, I think", LABELS, ("label",)),
        # numbers
        ("The score is 87.", SCORE, ()),
        ('{"score": 0}', SCORE, ()),
        ("87/100", SCORE, ()),
        ("high", SCORE, ("number",)),
        ("250", SCORE, ("number",)),
        # lengths
        ("abc", Contract(min_characters=3, max_characters=3), ()),
        ("abc", Contract(min_characters=4), ("min-characters",)),
        ("abc", Contract(max_characters=2), ("max-characters",)),
    ],
)
def test_an_answer_fails_the_checks_it_should(
    text: str, contract: Contract, names: tuple[str, ...]
) -> None:
    assert failed(text, contract) == names


@pytest.mark.parametrize(
    ("reason", "names"),
    [
        ("stop", ()), ("end_turn", ()), ("STOP", ()), ("", ()), ("completed", ()),
        ("length", ("truncated",)), ("max_tokens", ("truncated",)), ("MAX_TOKENS", ("truncated",)),
        ("max_output_tokens", ("truncated",)), ("model_context_window_exceeded", ("truncated",)),
        ("content_filter", ("refusal",)), ("SAFETY", ("refusal",)), ("refusal", ("refusal",)),
        ("guardrail_intervened", ("refusal",)),
    ],
)  # fmt: skip
def test_why_a_model_stopped_tells_in_the_words_of_all_providers(
    reason: str, names: tuple[str, ...]
) -> None:
    assert failed("Once upon a time", finish_reason=reason) == names


def test_an_answer_cut_by_a_full_context_says_so() -> None:
    answer = Answer("Once", finish_reason="model_context_window_exceeded")
    outcome = evaluate(answer, Contract())
    assert outcome is not None
    assert outcome.failure_category == "context_exceeded"


def test_a_label_that_is_whole_is_not_cut_whatever_the_limit() -> None:
    assert failed("positive", LABELS, finish_reason="length") == ()


def test_an_empty_answer_that_was_cut_thought_for_too_long() -> None:
    assert failed("", finish_reason="length") == ("truncated",)


def test_an_answer_that_calls_tools_has_no_form_to_check() -> None:
    calling = Answer("", finish_reason="tool_calls", calls_tools=True)
    assert evaluate(calling, IS_JSON) is None
    cut = evaluate(replace(calling, finish_reason="length"), IS_JSON)
    assert cut is not None
    assert cut.failed_checks == ("truncated",)


def test_a_request_for_json_has_to_get_it_whatever_the_goal() -> None:
    assert failed("no", is_json_asked=True) == ("json",)
    assert failed("{}", is_json_asked=True) == ()


def test_of_an_answer_seen_in_part_only_what_can_be_told_is_told() -> None:
    contract = Contract(is_json=True, min_characters=10, max_characters=20)
    assert failed("{", contract, is_partial=True) == ()
    assert failed("{" * 30, contract, is_partial=True) == ("max-characters",)


@pytest.mark.parametrize(
    ("prompt_characters", "names"), [(0, ()), (999, ()), (1000, ("ratio",)), (5000, ())]
)
def test_a_ratio_is_taken_of_long_prompts_only(
    prompt_characters: int, names: tuple[str, ...]
) -> None:
    contract = Contract(max_ratio=0.5)
    assert failed("x" * 600, contract, prompt_characters=prompt_characters) == names


def test_an_answer_may_be_too_short_a_part_of_its_prompt() -> None:
    assert failed("x", Contract(min_ratio=0.01), prompt_characters=1000) == ("ratio",)


def test_outcomes_are_worth_what_the_table_of_signals_says() -> None:
    passed, bad = evaluate(Answer("yes"), Contract()), evaluate(Answer(""), Contract())
    assert passed is not None
    assert bad is not None
    assert (passed.kind, passed.strength, passed.confidence) == (
        "check_passed", MEANINGS["check_passed"].strength, MEANINGS["check_passed"].confidence
    )  # fmt: skip
    assert (bad.kind, bad.strength, bad.failure_category) == ("check_failed", 0.0, "empty_response")
    assert passed.failure_category == ""


def test_a_provider_error_is_certain_and_has_one_of_the_categories() -> None:
    outcome = provider_error("timeout")
    assert (outcome.kind, outcome.confidence) == ("provider_error", 1.0)
    with pytest.raises(ValueError, match="no category"):
        provider_error("gremlins")


def test_every_check_has_a_category() -> None:
    assert set(CATEGORY_OF.values()) <= set(CATEGORIES)


def test_default_contracts_are_for_goals_that_rules_know() -> None:
    assert set(DEFAULTS) <= set(GOALS)
    assert default_contract(GENERAL) == default_contract("whatever") == Contract()


@pytest.mark.parametrize("goal", sorted(DEFAULTS))
def test_longer_is_never_better_and_markup_never_needed(goal: str) -> None:
    good = {
        "classification": "spam",
        "lead_scoring": "42",
        "summarization": "The council met and decided to plant trees in every street.",
        "outreach_generation": "Hello Jane, may I show you our product next week? Kind regards, Al",
        "code_generation": "def f(): return 1",
    }[goal]
    short, padded = Answer(good), Answer(f"## Title\n\n- {good}\n" + "\n- more" * 1000)
    first, second = (
        evaluate(short, default_contract(goal)),
        evaluate(padded, default_contract(goal)),
    )
    assert first is not None
    assert second is not None
    assert first.failed_checks == ()
    assert second.strength <= first.strength


def test_code_that_python_warns_of_is_never_quoted_anywhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert failed("secret = '\\d'\nassert (1, 'secret')\n", PYTHON) == ()
    assert capsys.readouterr() == ("", "")


# schemas


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "nonsense"}, "is no JSON Schema: type"),
        ({"$ref": "https://example.com/s.json"}, "$ref may only point"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "$ref may only point"),
        ({"patternProperties": {"a": {}}}, "patternProperties is not taken"),
        ({"items": {"pattern": "(a"}}, "pattern is no regular expression"),
        ({"pattern": r"(a)\1"}, "pattern is no regular expression"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "$schema may only be"),
        ({"items": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}, "at the top"),
        ({"description": "x" * 20_000}, "at most 16384"),
    ],
)
def test_a_schema_that_can_not_be_bounded_is_refused(schema: dict[str, object], says: str) -> None:
    assert says in schema_problem(schema)


def test_a_schema_may_name_its_dialect_and_refer_to_itself() -> None:
    tree = JsonSchema(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"inner": {"$ref": "#"}, "name": {"type": "string"}},
        }
    )
    assert tree.takes({"inner": {"inner": {"name": "x"}}})
    assert not tree.takes({"inner": {"inner": {"name": 1}}})


def test_a_schema_that_grows_without_end_is_given_up_in_favour_of_the_answer() -> None:
    twice = {"type": "object", "properties": {"n": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
    schema = JsonSchema({**twice, "required": ["n"]})
    document: object = 1
    for _ in range(60):
        document = {"n": document}
    assert failed(json.dumps(document), Contract(schema=schema)) == ()


def test_many_items_that_have_to_be_unique_are_counted_not_compared() -> None:
    schema = JsonSchema({"type": "array", "uniqueItems": True})
    items = [{"n": n} for n in range(15_000)]
    assert schema.takes(items)
    assert not schema.takes([*items, {"n": 0}])


def test_schemas_of_the_same_text_are_equal() -> None:
    assert JsonSchema({"type": "object"}) == JsonSchema({"type": "object"})
    assert JsonSchema({"type": "object"}) != JsonSchema({"type": "array"})
    assert len({JsonSchema({}), JsonSchema({})}) == 1


CONTRACTS = st.sampled_from([*DEFAULTS.values(), PYTHON, CODE, IS_JSON, SCHEMA, LABELS, SCORE])
TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="`\n{}[]()\"'#>.%! \\adef:=1x", max_size=120),
)


@given(TEXTS, CONTRACTS, st.sampled_from(["", "stop", "length", "refusal"]), st.booleans())
def test_whatever_a_model_says_the_outcome_is_well_formed_and_holds_none_of_it(
    text: str, contract: Contract, reason: str, is_partial: bool
) -> None:
    answer = Answer(text, finish_reason=reason, is_partial=is_partial, prompt_characters=2000)
    outcome = evaluate(answer, contract)
    assert outcome is not None
    assert (outcome.kind == "check_passed") == (not outcome.failed_checks)
    assert (outcome.failure_category in CATEGORIES) == bool(outcome.failed_checks)
    assert set(outcome.failed_checks) <= set(CATEGORY_OF)
    assert evaluate(answer, contract) == outcome


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=20))
def test_every_json_document_passes_as_json(document: object) -> None:
    assert "json" not in failed(json.dumps({"a": document}), IS_JSON)
