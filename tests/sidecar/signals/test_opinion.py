"""Second opinions on users' messages, over the control listener."""

import json
from typing import Any

import pytest
from tests.sidecar.signals.answers import CHAT, SECRET_TEXT, asked_of, completion

from remora.testing.double_answer import json_answer
from remora_sidecar.signals.own_calls import CLASSIFIER

CALL = "/v1/signals/opinion"
ASKED = {"session_id": "", "goal": "mood", "message": "No, redo it.", "prior": "Sunny."}
SAID = {"label": "rejected", "confidence": 0.95, "dimensions": ["overall"]}


def classifying(**changed: Any) -> dict[str, Any]:
    asked = {"provider": "openai", "model": "gpt-4o-mini", "maxCostUSD": "1"}
    return {"classifier": asked | changed}


async def test_an_opinion_is_what_the_model_says_of_the_message(evaluating: Any) -> None:
    async with evaluating(classifying()) as running:
        running.double.route("POST", CHAT, completion(json.dumps(SAID)))
        assert await running.control(CALL, ASKED) == (200, SAID)
        (record,) = await running.records(1)
        shown = json.loads(asked_of(running.double.requests[0])["messages"][1]["content"])
    assert record.attribution.agent_id == CLASSIFIER
    assert record.outcome is None
    assert shown == {"message": "No, redo it.", "answer": "Sunny."}


async def test_without_a_model_there_is_no_opinion(evaluating: Any) -> None:
    async with evaluating() as running:
        status, answer = await running.control(CALL, ASKED)
        assert (status, answer["error"]["code"]) == (404, "CLASSIFIER_OFF")
        assert "spec.signals.classifier" in answer["error"]["message"]
        assert (await running.control("/v1/signals/settings"))[1]["opinion"] is False


async def test_programs_are_told_that_there_are_opinions(evaluating: Any) -> None:
    async with evaluating(classifying(below=0.65)) as running:
        _, told = await running.control("/v1/signals/settings")
        assert (told["opinion"], told["opinion_below"]) == (True, 0.65)


async def test_what_the_user_wrote_is_redacted_first_whatever_policy_captures(
    evaluating: Any,
) -> None:
    message = "Call me at +49 170 1234567 or write to jane@example.com"
    async with evaluating(classifying(), capture="full") as running:
        running.double.route("POST", CHAT, completion(json.dumps(SAID)))
        await running.control(CALL, ASKED | {"message": message, "prior": "joe@example.com"})
        shown = asked_of(running.double.requests[0])["messages"][1]["content"]
    assert "example.com" not in shown
    assert "1234567" not in shown
    assert "redacted:email" in shown


@pytest.mark.parametrize(
    "body",
    [{}, {"message": ""}, {"message": 1}, {"message": "x", "more": 1}, {"message": "x" * 20_000}],
)
async def test_a_question_that_is_none_is_refused(evaluating: Any, body: object) -> None:
    async with evaluating(classifying()) as running:
        status, _ = await running.control(CALL, body)
        assert status == 400
        assert running.double.requests == []


@pytest.mark.parametrize(
    "said", ["no JSON", '{"label": "angry", "confidence": 1, "dimensions": []}']
)
async def test_an_opinion_that_can_not_be_read_is_none(evaluating: Any, said: str) -> None:
    async with evaluating(classifying()) as running:
        running.double.route("POST", CHAT, completion(said))
        status, answer = await running.control(CALL, ASKED)
        assert (status, answer["error"]["code"]) == (502, "CLASSIFIER_FAILED")


async def test_a_provider_that_fails_gives_no_opinion(evaluating: Any) -> None:
    async with evaluating(classifying()) as running:
        running.double.route("POST", CHAT, json_answer(b"{}", status=500))
        status, answer = await running.control(CALL, ASKED)
        assert (status, answer["error"]["code"]) == (502, "CLASSIFIER_FAILED")


async def test_once_the_limit_is_spent_there_are_no_opinions(evaluating: Any) -> None:
    async with evaluating(classifying(maxCostUSD="0.000001")) as running:
        status, answer = await running.control(CALL, ASKED)
        assert (status, answer["error"]["code"]) == (429, "CLASSIFIER_SPENT")
        assert running.double.requests == []


async def test_a_message_is_in_no_file_no_log_and_no_answer(
    evaluating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    asked = ASKED | {"message": f"{SECRET_TEXT}!", "prior": SECRET_TEXT}
    async with evaluating(classifying()) as running:
        running.double.script(completion(json.dumps(SAID)), completion(SECRET_TEXT))
        assert (await running.control(CALL, asked))[0] == 200
        status, answer = await running.control(CALL, asked)
        assert status == 502
        assert SECRET_TEXT not in json.dumps(answer)
        await running.records(2)
        assert running.files_with(SECRET_TEXT) == []
    assert SECRET_TEXT not in caplog.text
