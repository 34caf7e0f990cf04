"""What a question carries to whoever asks it."""

import pytest
from tests.sidecar.workflows.played import played, price

from remora_sidecar.workflows.inputs import Pause, Resume
from remora_sidecar.workflows.question import Target


def only(run):
    (question,) = run.open.values()
    return question


def test_a_question_says_everything_that_its_step_says():
    step = {
        "id": "a",
        "system": "Be brief.",
        "prompt": "Of {{input.topic}}",
        "tier": "high",
        "goal": "essays",
        "temperature": 0.5,
        "seed": 7,
        "stop": ["END"],
        "max_tokens": 99,
        "timeout": "30s",
        "parameters": {"reasoning_effort": "low"},
        "output": {"schema": {"type": "object"}},
    }
    question = only(played(step, given={"topic": "sharks"}))
    assert [(m.role, m.text) for m in question.messages] == [
        ("system", "Be brief."),
        ("user", "Of sharks"),
    ]
    assert question.parameters == {
        "reasoning_effort": "low",
        "temperature": 0.5,
        "seed": 7,
        "stop": ["END"],
    }
    assert (question.max_tokens, question.timeout_ms, question.goal) == (99, 30_000, "essays")
    assert (question.form.type, question.form.schema) == ("json", {"type": "object"})
    assert (question.purpose, question.attempt, question.item) == ("answer", 1, None)
    assert (question.wish.role.tier, question.wish.downgraded) == ("high", False)


def test_the_estimate_counts_the_prompt_the_schema_and_the_longest_answer():
    bare = only(played({"id": "a", "output": "json", "max_tokens": 100}))
    schema = {"type": "object", "description": "word " * 50}
    said = only(played({"id": "a", "output": {"schema": schema}, "max_tokens": 100}))
    assert said.estimate.tokens >= bare.estimate.tokens + 50
    inputs = bare.wish.input_tokens
    assert bare.estimate.tokens == inputs + 100
    assert bare.estimate.cost_usd == price("balanced").cost_usd(inputs, 100)


def test_attachments_go_with_their_message():
    image = {"kind": "image", "url": "{{input.url}}"}
    step = {"id": "a", "messages": [{"role": "user", "content": "Look.", "attachments": [image]}]}
    question = only(played(step, given={"url": "https://example.com/a.png"}))
    assert question.messages[0].attachments == (("image", "https://example.com/a.png"),)
    assert question.wish.input_tokens > 3_000


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://169.254.169.254/", "https://a b"])
def test_an_attachment_from_anywhere_else_fails_its_step(url):
    image = {"kind": "image", "url": "{{input.url}}"}
    step = {"id": "a", "messages": [{"role": "user", "content": "Look.", "attachments": [image]}]}
    run = played(step, given={"url": url})
    assert run.execution.failure.code == "template"
    assert url not in run.execution.failure.message


def test_a_judge_is_asked_without_the_steps_own_parameters():
    step = {"id": "a", "temperature": 0.9, "strategy": {"kind": "parallel", "best": {}}}
    run = played(step)
    run.answer(run.key("answer0"))
    run.answer(run.key("answer1"))
    question = run.open[run.key("judge")]
    assert question.parameters == {}
    assert question.form.name == "verdict"


def test_models_are_chosen_anew_after_a_pause():
    alive = ["one"]
    run = played(
        {"id": "a"},
        {"id": "b", "prompt": "{{steps.a.output}}"},
        choose=lambda wish: [Target("p", name, "fast", price("fast")) for name in alive],
    )
    run.tell(Pause())
    run.answer(run.of("a")[0])
    alive[:] = ["two"]
    run.tell(Resume())
    assert only(run).target.name == "p/two"
