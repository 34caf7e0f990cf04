from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.workflows.drawing import dot, edges, mermaid
from remora.workflows.graph import circles, graph_of

DAGS = st.integers(1, 12).flatmap(
    lambda count: st.fixed_dictionaries(
        {
            f"s{n}": st.sets(st.sampled_from([f"s{m}" for m in range(n)])) if n else st.just(set())
            for n in range(count)
        }
    )
)


@given(DAGS, st.randoms())
def test_no_step_comes_before_one_that_it_waits_for(dependencies, random):
    shuffled = list(dependencies.items())
    random.shuffle(shuffled)
    graph = graph_of(dict(shuffled))
    assert sorted(graph.order) == sorted(dependencies)
    for step_id, waits_for in dependencies.items():
        place = graph.order.index(step_id)
        assert all(graph.order.index(before) < place for before in waits_for)


@given(DAGS)
def test_steps_of_one_level_never_wait_for_each_other(dependencies):
    graph = graph_of(dependencies)
    for level in graph.levels:
        for step_id in level:
            assert graph.needed_for([step_id]).intersection(level) == {step_id}


@given(DAGS)
def test_a_step_stands_as_early_as_it_can(dependencies):
    graph = graph_of(dependencies)
    level_of = {step: n for n, level in enumerate(graph.levels) for step in level}
    for step_id, waits_for in dependencies.items():
        assert level_of[step_id] == max((level_of[s] + 1 for s in waits_for), default=0)


@given(st.dictionaries(st.sampled_from("abcde"), st.sets(st.sampled_from("abcde"))))
def test_without_the_last_links_of_all_circles_none_is_left(dependencies):
    dependencies = {step: dependencies.get(step, set()) for step in "abcde"}
    found = list(circles(dependencies))
    for circle in found:
        assert circle[0] == circle[-1]
        assert all(b in dependencies[a] for a, b in pairwise(circle))
    left = {step: set(waits_for) for step, waits_for in dependencies.items()}
    for circle in found:
        left[circle[0]].discard(circle[1])
    graph_of(left)


def test_the_last_steps_are_those_that_no_other_waits_for():
    graph = graph_of({"a": [], "b": ["a"], "c": ["a"], "d": []})
    assert graph.last == ("d", "b", "c")
    assert graph.dependents("a") == {"b", "c"}


@pytest.fixture
def drawn(compiled):
    return compiled(
        {"id": "plan", "tier": "fast"},
        {
            "id": "act",
            "prompt": "{{steps.plan.output}}",
            "strategy": {"kind": "parallel", "n": 3},
            "condition": {"==": [{"var": "goal"}, 'a "<b>" & c']},
        },
    )


def test_mermaid_names_every_step_and_link(drawn):
    assert mermaid(drawn).splitlines() == [
        "flowchart TD",
        '  s0["plan<br/>fast"]',
        '  s1{{"act<br/>balanced, parallel of 3"}}',
        "  s0 --> s1",
    ]


def test_graphviz_names_every_step_and_link(drawn):
    assert dot(drawn).splitlines() == [
        'digraph "test" {',
        "  node [shape=box];",
        '  "plan" [label="plan\\nfast"];',
        '  "act" [label="act\\nbalanced, parallel of 3", style=dashed];',
        '  "plan" -> "act";',
        "}",
    ]
    assert list(edges(drawn)) == [("plan", "act")]
