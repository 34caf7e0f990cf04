"""What a request is for: labelled examples, and such as only look like one."""

# ruff: noqa: RUF001 - other scripts are meant

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.outcomes.goals import GENERAL, GOALS, classified_goal

EXAMPLES = [
    # summarization
    ("summarization", "Summarize the following article in two sentences:\nThe city council met."),
    ("summarization", "You are a helpful assistant.\nPlease summarise this meeting for me."),
    ("summarization", "TL;DR of this thread, please"),
    ("summarization", "Can you give me a short summary of the report below?"),
    ("summarization", "Fasse den folgenden Text in drei Sätzen zusammen: Der Rat tagte."),
    ("summarization", "Résume ce texte en une phrase : Le conseil s'est réuni."),
    ("summarization", "Resume el siguiente texto en una frase."),
    ("summarization", "请总结以下内容：今天会议讨论了预算。"),
    ("summarization", "次の文章を要約してください。"),
    ("summarization", "Вот письмо. Сделай краткое резюме."),
    ("summarization", "You are an expert summarizer. The text follows."),
    # classification
    ("classification", "Classify the sentiment of this review as positive or negative: great!"),
    ("classification", "Your task is to categorize support tickets into billing, bug or other."),
    ("classification", "You are an intent classifier. Reply with one word."),
    ("classification", "Determine the sentiment of: 'I like it'"),
    ("classification", "Label each comment with one of the following categories: a, b."),
    ("classification", "Klassifiziere die folgende E-Mail als Spam oder kein Spam."),
    ("classification", "请将下面的评论分类为正面或负面"),
    # translation
    ("translation", "Translate to German: good morning"),
    ("translation", "Please translate the following into French.\n\nHello."),
    ("translation", "Übersetze ins Englische: Guten Morgen"),
    ("translation", "Traduis en anglais : bonjour"),
    ("translation", "翻译成英文：你好"),
    ("translation", "You are a professional translator. Keep the tone."),
    # code
    ("code_generation", "Write a Python function that reverses a string."),
    ("code_generation", "Implement a binary search in Rust"),
    ("code_generation", "Can you create a bash script to rotate logs?"),
    ("code_generation", "Fix the bug in this loop: for i in range(3) print(i)"),
    ("code_generation", "Schreibe eine Funktion, die Primzahlen findet."),
    ("code_generation", "Écris une fonction qui trie une liste."),
    ("code_generation", "Escribe una función que sume dos números."),
    ("code_generation", "Напиши функцию, которая сортирует список."),
    ("code_generation", "写一个 Python 函数来计算斐波那契数列"),
    ("code_generation", "You are an expert coding assistant. Use type hints."),
    ("code_generation", "Write a SQL query for the ten largest orders."),
    # what code is about is not what is asked for
    ("code_generation", "Write a function that summarizes a list of numbers."),
    ("code_generation", "Write a script to translate subtitles."),
    ("code_generation", "Create a class that can classify images."),
    ("code_review", "Review this code for security problems:\ndef f(): pass"),
    ("code_review", "Please review the pull request below and list issues."),
    ("code_review", "You are a senior code reviewer."),
    ("code_review", "Find any bugs in this snippet: x = = 1"),
    # the others
    ("extraction", "Extract all dates from the letter below."),
    ("extraction", "Extrahiere alle Namen aus dem Text."),
    ("web_scraping", "Scrape the product prices from this page."),
    ("web_scraping", "Extract the product names from the following HTML: <ul></ul>"),
    ("lead_scoring", "Score this lead from 0 to 100: CTO at a bank."),
    ("lead_scoring", "You are a lead scoring assistant."),
    ("outreach_generation", "Write a cold email to the head of sales at Acme."),
    ("outreach_generation", "Draft a short LinkedIn message to Jane about our product."),
    ("data_enrichment", "Enrich these company records with industry and size."),
    ("data_pipeline", "Clean the following CSV and return it."),
    ("data_pipeline", "Deduplicate these records."),
    ("research", "Research the market for solid state batteries."),
    ("research", "You are a research assistant. Cite sources."),
    ("system_design", "Design a scalable notification system for 10 million users."),
    ("system_design", "You are a senior software architect."),
    ("agent_orchestration", "You are the orchestrator. Delegate each step to one of the agents."),
]

COUNTER_EXAMPLES = [
    "Hello, how are you?",
    "What is the capital of France?",
    "",
    "I read a summary of the book yesterday and did not like it.",
    "Why do people classify whales as mammals?",
    "My translator is ill today, what should I do about the conference?",
    "The code review took all day and I am tired. Tell me a joke.",
    "She writes functions for a living. Is that a good job?",
    "Do you know the research of Marie Curie?",
    "What does 'scrape' mean?",
    "In résumé writing, what matters most?",
    "Is python a snake?",
    # compound: neither is the one
    "Summarize this text. Translate it to German.",
    "Classify the ticket, then write a Python function that closes it.",
    # said by somebody else
    "My boss said we have to translate faster. How do I calm her down?",
    "Der Text fasst viel zusammen, oder?",
]


@pytest.mark.parametrize(("goal", "text"), EXAMPLES, ids=[f"{g}: {t[:40]}" for g, t in EXAMPLES])
def test_an_order_in_so_many_words_is_a_goal(goal: str, text: str) -> None:
    assert classified_goal("chat", text, 0, "") == goal


@pytest.mark.parametrize("text", COUNTER_EXAMPLES)
def test_what_is_only_talked_about_is_general(text: str) -> None:
    assert classified_goal("chat", text, 0, "") == GENERAL


@pytest.mark.parametrize(
    ("operation", "goal"),
    [
        ("embeddings", "embedding"),
        ("image_generation", "image_generation"),
        ("transcription", "transcription"),
        ("speech", "speech_synthesis"),
        ("rerank", "reranking"),
        ("chat.completions.list", GENERAL),
        ("count_tokens", GENERAL),
    ],
)
def test_an_operation_may_be_a_goal_by_itself(operation: str, goal: str) -> None:
    assert classified_goal(operation, "Summarize this", 0, "") == goal


@pytest.mark.parametrize(
    ("text", "tools", "response_format", "goal"),
    [
        ("Summarize the page.", 0, "", "summarization"),
        ("Summarize the page.", 3, "", GENERAL),
        ("Write a Python function.", 3, "", "code_generation"),
        ("Write a Python function.", 0, "json_schema", GENERAL),
        ("Extract all names.", 0, "json_schema", "extraction"),
        ("Classify the ticket.", 0, "json_object", "classification"),
    ],
)
def test_the_form_of_a_request_may_speak_against_its_words(
    text: str, tools: int, response_format: str, goal: str
) -> None:
    assert classified_goal("chat", text, tools, response_format) == goal


def test_only_the_two_ends_of_a_long_request_are_read() -> None:
    middle = "x " * 20_000
    assert classified_goal("chat", f"Summarize this: {middle}") == "summarization"
    assert classified_goal("chat", f"{middle}\nSummarize this.") == "summarization"
    assert classified_goal("chat", f"{middle}\nSummarize this.{middle}") == GENERAL


@given(st.text(max_size=400), st.integers(0, 3), st.sampled_from(["", "json_object", "text"]))
def test_any_text_has_one_of_the_goals_always_the_same(
    text: str, tools: int, response_format: str
) -> None:
    goal = classified_goal("chat", text, tools, response_format)
    assert goal in GOALS
    assert classified_goal("chat", text, tools, response_format) == goal
