"""A run is known by its agent, models and data set, in every process."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from remora.selectors.combination import combinations_of
from remora.selectors.fingerprint import fingerprint


@dataclass(frozen=True)
class Question:
    text: str


class Plain:
    pass


def digest(*pairs):
    return fingerprint(Plain, combinations_of({"n": ["a"]}), pairs)["dataset"]


DIFFERENT = [
    [(1, 2)],
    [(1, 2), (1, 2)],
    [(2, 1)],
    [("1", 2)],
    [(1, [2])],
    [(1, {2})],
    [(1, {"a": 2})],
    [(1, {"a": "2"})],
    [(b"1", 2)],
    [(Question("1"), 2)],
    [(Question("2"), 2)],
    [("12", "")],
    [("1", "2")],
    [(None, 2)],
]


def test_different_data_sets_have_different_fingerprints():
    assert len({digest(*pairs) for pairs in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x", "y", "z"}, {"z", "y", "x"}),
        (Plain(), Plain()),
        ((1, 2), [1, 2]),
    ],
    ids=["order of keys", "order of a set", "where objects lie", "lists and tuples"],
)
def test_what_means_the_same_has_the_same_fingerprint(one, other):
    assert digest((one, 0)) == digest((other, 0))


def test_another_process_finds_the_same():
    program = (
        "from remora.selectors.combination import combinations_of\n"
        "from remora.selectors.fingerprint import fingerprint\n"
        "pair = ({'a', 'b', 'c', 'd'}, {'k': frozenset('xyz')})\n"
        "print(fingerprint(dict, combinations_of({'n': ['a']}), [pair]))"
    )
    found = {subprocess.check_output([sys.executable, "-c", program], text=True) for _ in range(3)}

    assert len(found) == 1


def test_models_in_another_order_are_another_run():
    def models(**given):
        return fingerprint(Plain, combinations_of(given), [(1, 2)])["models"]

    assert models(a=["x", "y"]) != models(a=["y", "x"])
    assert models(a=["x"], b=["y"]) != models(b=["y"], a=["x"])


def test_combinations_come_in_the_order_of_the_dict():
    made = combinations_of({"planner": ["a", "b"], "solver": ["c", "d"]})

    assert [one.label for one in made] == [
        "planner=a + solver=c",
        "planner=a + solver=d",
        "planner=b + solver=c",
        "planner=b + solver=d",
    ]
    assert made[1].data_id(0) == "planner=a + solver=d::dp_1"
