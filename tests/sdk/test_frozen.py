"""Classes that are made quickly are the same classes."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.frozen import by_name, quickly_made
from remora.records import Attribution, CacheVerdict, CallRecord


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    size: int = 3
    parts: list[str] = field(default_factory=list)


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    name: str
    size: int = 3
    parts: list[str] = field(default_factory=list)


values = st.dictionaries(st.sampled_from(["name", "size", "parts"]), st.integers())


def outcome(cls, given):
    """What becomes of an attempt to make one, without the name of its class."""
    try:
        return repr(cls(**given)).removeprefix(cls.__name__)
    except TypeError as error:
        return str(error).removeprefix(cls.__name__)


@given(values)
def test_it_takes_and_refuses_what_the_plain_one_does(given):
    assert outcome(Quick, given) == outcome(Plain, given)


def test_fields_may_be_given_by_position():
    assert Quick("a", 1, ["b"]) == Quick(name="a", size=1, parts=["b"])


def test_a_factory_makes_another_value_each_time():
    assert Quick("a").parts is not Quick("a").parts


@pytest.mark.parametrize("change", [lambda v: setattr(v, "size", 4), lambda v: delattr(v, "size")])
def test_it_stays_frozen(change):
    value = Quick("a")
    with pytest.raises(FrozenInstanceError):
        change(value)
    assert value.size == 3


def test_it_can_be_replaced_copied_and_pickled():
    value = Attribution(session_id="s", task_id="t")
    assert replace(value, task_id="u") == Attribution(session_id="s", task_id="u")
    assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value  # noqa: S301


@pytest.mark.parametrize("cls", [CallRecord, Attribution, CacheVerdict])
def test_its_signature_is_that_of_its_fields(cls):
    assert list(inspect.signature(cls).parameters) == [f.name for f in fields(cls)]


def test_what_is_made_in_another_way_is_refused():
    @dataclass(frozen=True, slots=True)
    class Checked:
        size: int

        def __post_init__(self):
            """Check."""

    with pytest.raises(TypeError, match="Checked"):
        quickly_made(Checked)


@given(values)
def test_a_function_takes_and_refuses_by_name_what_the_class_does(given):
    make = by_name(Quick)
    if "name" in given:
        assert make(**given) == Quick(**given)
    else:
        with pytest.raises(TypeError, match="name"):
            make(**given)


def test_a_function_makes_default_values_anew_as_the_class_does():
    make = by_name(Quick)
    assert make("a") == Quick("a")
    assert make("a").parts is not make("a").parts


def test_what_can_only_be_given_by_name_is_refused():
    @dataclass(kw_only=True)
    class Named:
        size: int

    with pytest.raises(TypeError, match="size"):
        by_name(Named)
