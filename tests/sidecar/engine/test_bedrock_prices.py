"""What a call to Bedrock costs is decided by the model that was asked for, not by the body's."""

import json
from decimal import Decimal

import pytest

from remora.testing.double_answer import json_answer

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
ARN = "arn:aws:bedrock:us-east-1:000000000000:"
ANSWER = json.dumps(
    {
        "type": "message",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1_000_000, "output_tokens": 0},
    }
).encode()


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", Decimal("3")),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Decimal("3.3")),
        (f"{ARN}inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0", Decimal("3.3")),
        (f"{ARN}foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0", Decimal("3.3")),
        (f"{ARN}application-inference-profile/mi1dadi0g15f", Decimal("3.3")),
        (f"{ARN}provisioned-model/abcdefghijkl", None),
        (f"{ARN}imported-model/abcdefghijkl", None),
    ],
    ids=["global", "regional", "profile", "model", "own profile", "provisioned", "imported"],
)
async def test_a_call_is_priced_by_what_was_asked_for(carry, model, usd):
    async with carry(double={"names": [HOST]}) as carrying:
        carrying.double.script(json_answer(ANSWER))
        agent = await carrying.agent(host=HOST)
        path = f"/model/{model.replace(':', '%3A').replace('/', '%2F')}/invoke"
        body = b'{"messages":[]}'
        headers = [("Host", HOST), ("Content-Length", str(len(body)))]
        await agent.send("POST", path, headers, body)
        await agent.answer()
        (record,) = await carrying.records(1)
    assert record.requested_model == model
    assert record.response_model == "claude-sonnet-4-5-20250929"
    assert record.usage.input_tokens == 1_000_000
    assert (record.cost.total_usd if record.cost else None) == usd
