"""Refusals, and what only looks like one."""

# ruff: noqa: RUF001 - other scripts are meant

import pytest

from remora.outcomes.refusals import LONGEST_CHARACTERS, is_refusal

REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "I’m sorry, I can’t help with that request.",
    "I cannot fulfill this request.",
    "I can't provide instructions for making explosives.",
    "As an AI language model, I cannot give opinions on this.",
    "I'm unable to comply with your request.",
    "Sorry, but I can't help with that.",
    "**I won't assist with that.** It would be harmful.",
    "I'm not able to create harmful content of any kind.",
    "I'm sorry, but I can't do that.",
    "Unfortunately, I cannot complete this request because it violates the policy.",
    "Es tut mir leid, aber dabei kann ich nicht helfen.",
    "Tut mir leid, ich kann diese Anfrage nicht beantworten.",
    "Leider kann ich dabei nicht helfen.",
    "Je suis désolé, mais je ne peux pas vous aider avec cela.",
    "En tant qu'IA, je ne peux pas donner d'avis médical.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Desculpe, mas não posso ajudar com isso.",
    "Mi dispiace, ma non posso aiutarti con questa richiesta.",
    "Przykro mi, ale nie mogę w tym pomóc.",
    "Извините, но я не могу помочь с этим запросом.",
    "很抱歉，我无法提供这方面的帮助。",
    "抱歉，我无法协助处理这个请求。",
    "申し訳ありませんが、そのご要望にはお答えできません。",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
]
NO_REFUSALS = [
    "",
    "Sure, here you are.",
    "I can help with that!",
    "I'm sorry, but I can't make it to the meeting on Friday.",
    "Sorry to hear that. Try restarting the router.",
    "I'm sorry for the confusion. The answer is 4.",
    "\"I'm sorry, I can't assist with that\" is a typical refusal of a chat bot.",
    "> I'm sorry, but I can't assist with that.\n\nThis is what the bot said.",
    '{"reply": "I cannot help with that request."}',
    "The model answered: I'm sorry, but I can't help with that.",
    "I can't recommend this phone enough!",
    "Unfortunately, the package is late. It arrives on Monday.",
    "Subject: Your order\n\nI'm sorry, but I can't ship to your address.",
    "No puedo creer que sea tan barato.",
    "Leider ist das Produkt ausverkauft.",
    "抱歉让您久等了，订单已发货。",
    "I cannot overstate how important sleep is.",
    "I can't help you move on Saturday, but Sunday works.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_an_answer_that_only_refuses_is_a_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", NO_REFUSALS)
def test_what_quotes_a_refusal_or_is_polite_is_none(text: str) -> None:
    assert not is_refusal(text)


def test_a_long_answer_is_no_refusal_however_it_begins() -> None:
    begin = "I can't provide legal advice, but here is what the law says. "
    assert not is_refusal(begin + "word " * (LONGEST_CHARACTERS // 5))


def test_a_refusal_that_never_ends_takes_no_time_to_find() -> None:
    assert not is_refusal("i am sorry, " * 100)
    assert not is_refusal("i understand" + "a" * 1400)
