from decimal import Decimal

import pytest

from remora.policy import load_documents
from remora.records import Usage
from remora_sidecar.engine.own_prices import own_prices
from remora_sidecar.engine.pricing import PriceBook

DOCUMENT = """
apiVersion: remora.dev/v1alpha1
kind: LLMProvider
metadata: {name: mine}
spec:
  hosts: [llm.example.com]
  dialects: [openai-chat]
  prices:
  - {model: "llama-*", inputPerMillionUSD: "0.20", outputPerMillionUSD: "0.60"}
  - {model: "*", inputPerMillionUSD: "1", outputPerMillionUSD: "3"}
"""


@pytest.fixture
def book():
    book = PriceBook()
    book.use_own(own_prices(load_documents({"f": DOCUMENT}).providers))
    return book


@pytest.mark.parametrize(
    ("model", "total"), [("llama-3", Decimal("0.00000080")), ("other", Decimal("0.000004"))]
)
def test_the_first_price_that_takes_the_model_holds(book, model, total):
    cost = book.cost("LLMProvider/mine", model, Usage(input_tokens=1, output_tokens=1), 0)
    assert cost.total_usd == total
    assert cost.price_source == "LLMProvider/mine"


def test_tokens_that_nobody_stated_have_no_price(book):
    assert book.cost("LLMProvider/mine", "llama-3", Usage(input_tokens=1), 0) is None


async def test_calls_to_a_provider_of_ones_own_are_priced(ruled):
    from ruamel.yaml import YAML

    document = YAML(typ="safe", pure=True).load(DOCUMENT)
    double = {"names": ("llm.example.com",)}
    async with ruled({}, documents=[document], double=double) as carrying:
        agent = await carrying.agent(host="llm.example.com")
        body = b'{"model":"llama-3","messages":[{"role":"user","content":"hi"}]}'
        headers = [("Host", "llm.example.com"), ("Content-Type", "application/json")]
        await agent.ask("POST", "/v1/chat/completions", headers, body)
        record = await carrying.record()

    assert record.cost.price_source == "LLMProvider/mine", record
    assert record.cost.total_usd > 0
