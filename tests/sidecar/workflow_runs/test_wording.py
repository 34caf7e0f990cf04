"""The bodies that providers get, each held against what its API says."""

import json

import pytest
from tests.sidecar.workflow_runs.worded_questions import (
    CLOSED,
    JSON,
    OPEN,
    body,
    form,
    own,
    provider,
    question,
)

from remora.workflows.sizes import TOKENS_OF_FORM, TOKENS_OF_MESSAGE, most_tokens
from remora_sidecar.workflow_runs.wording import WordingError, surface_of, worded
from remora_sidecar.workflow_runs.wording.forms import ONLY_JSON, in_words
from remora_sidecar.workflow_runs.wording.held_schema import ROOM_TOKENS
from remora_sidecar.workflows.question import SentMessage

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
USAGE = {"include_usage": True}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
FAR = "https://example.com/a.png"


def strict(schema, name="sort"):
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "strict": True, "schema": schema},
    }


def loose(schema):
    return {
        "type": "json_schema",
        "json_schema": {"name": "sort", "strict": False, "schema": schema},
    }


@pytest.mark.parametrize(
    ("name", "model", "limit", "more"),
    [
        pytest.param(
            "openai", "gpt-4o-mini", "max_completion_tokens", {"stream_options": USAGE}, id="openai"
        ),
        pytest.param(
            "groq", "openai/gpt-oss-20b", "max_tokens", {"stream_options": USAGE}, id="groq"
        ),
        pytest.param("mistral", "mistral-small-latest", "max_tokens", {}, id="mistral, unasked"),
        pytest.param("openrouter", "a/b", "max_tokens", {}, id="openrouter, unasked"),
        pytest.param("vllm", "own", "max_tokens", {"stream_options": USAGE}, id="vllm"),
        pytest.param(
            "our-models", "own", "max_tokens", {"stream_options": USAGE}, id="a server of one's own"
        ),
    ],
)
def test_a_chat_is_asked_for_as_a_stream_that_states_its_usage(name, model, limit, more):
    asked = body(question(model), name)
    assert asked == {"model": model, "messages": ASKED, limit: 50, "stream": True, **more}


def test_anthropic_is_asked_in_its_own_words():
    request = worded(question("claude-haiku-4-5", temperature=0.5), provider("anthropic"))
    assert (request.surface.dialect, request.surface.path) == ("anthropic-messages", "/v1/messages")
    assert request.headers == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
    }
    assert json.loads(request.body) == {
        "model": "claude-haiku-4-5",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "max_tokens": 50,
        "stream": True,
        "temperature": 0.5,
    }


@pytest.mark.parametrize(
    ("asked_provider", "dialect"),
    [
        (provider("openai"), "openai-chat"),
        (provider("anthropic"), "anthropic-messages"),
        (provider("anthropic-aws"), "anthropic-messages"),
        (provider("deepseek"), "openai-chat"),
        (provider("google"), "openai-chat"),
        (provider("ollama"), "openai-chat"),
        (own("ours", "anthropic-messages"), "anthropic-messages"),
        (own("ours", "anthropic-messages", "openai-chat"), "openai-chat"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_the_dialect_is_one_that_the_provider_speaks(asked_provider, dialect):
    assert surface_of(asked_provider).dialect == dialect
    assert worded(question("m"), asked_provider).surface.dialect == dialect


def test_a_provider_without_such_a_dialect_is_said_so():
    with pytest.raises(WordingError, match="gemini-cli speaks neither"):
        worded(question("m"), provider("gemini-cli"))


@pytest.mark.parametrize(
    ("name", "model", "schema", "wanted", "is_stream"),
    [
        pytest.param("openai", "gpt-4o-mini", CLOSED, strict(CLOSED), True, id="strict"),
        pytest.param(
            "openai", "gpt-4o-mini", OPEN, loose(OPEN), True, id="open: as well as it can"
        ),
        pytest.param(
            "openai", "gpt-4o-2024-08-06", CLOSED, strict(CLOSED), True, id="a dated name"
        ),
        pytest.param("openai", "gpt-3.5-turbo", CLOSED, None, True, id="not in the catalogue"),
        pytest.param("groq", "openai/gpt-oss-20b", CLOSED, strict(CLOSED), False, id="groq, whole"),
        pytest.param("cerebras", "gpt-oss-120b", OPEN, loose(OPEN), True, id="cerebras"),
        pytest.param(
            "deepseek", "deepseek-v4-pro", CLOSED, {"type": "json_object"}, True, id="deepseek"
        ),
        pytest.param("zai", "glm-5.3", CLOSED, {"type": "json_object"}, True, id="zai"),
        pytest.param("google", "gemini-2.5-flash", CLOSED, strict(CLOSED), True, id="google"),
        pytest.param(
            "google", "gemini-2.5-flash", OPEN, {"type": "json_object"}, True, id="google, open"
        ),
        pytest.param("sambanova", "gpt-oss-120b", CLOSED, None, True, id="no feature"),
        pytest.param("vllm", "own", CLOSED, strict(CLOSED), True, id="vllm"),
        pytest.param("lm-studio", "own", OPEN, None, True, id="lm studio knows no objects"),
        pytest.param("ours", "own", CLOSED, None, True, id="nothing is known"),
        pytest.param("openai", "gpt-4o-mini", {"type": "array"}, None, True, id="a list"),
        pytest.param("openai", "gpt-4o-mini", True, None, True, id="anything"),
    ],
)
def test_a_schema_is_asked_for_by_the_feature_that_there_is(name, model, schema, wanted, is_stream):
    asked = body(question(model, form=form(schema)), name)
    assert asked.get("response_format") == wanted
    assert asked.get("stream", False) is is_stream
    is_said = wanted is None or wanted["type"] == "json_object"
    first = asked["messages"][0]["content"]
    assert first == (f"Be brief.\n\n{in_words(form(schema))}" if is_said else "Be brief.")


def test_what_a_namespace_says_of_a_model_counts_more_than_the_catalogue():
    asked = question("own", form=form(CLOSED))
    assert body(asked, "ours", {"structured_output"})["response_format"] == strict(CLOSED)
    assert body(asked, "ours", {"json_mode"})["response_format"] == {"type": "json_object"}
    assert "response_format" not in body(question(form=form(CLOSED)), "openai", set())


@pytest.mark.parametrize("name", ["openai", "anthropic", "ours"])
def test_json_of_any_shape_is_asked_for_in_words_since_it_may_be_a_list(name):
    asked = body(question("gpt-4o-mini", SentMessage("user", "Name two."), form=JSON), name)
    assert "response_format" not in asked
    assert ONLY_JSON in json.dumps(asked.get("system", asked["messages"][0]))


def test_the_form_goes_to_the_end_of_the_only_system_message_or_is_one():
    twice = [
        SentMessage("system", "One."),
        SentMessage("system", "Two."),
        SentMessage("user", "Go."),
        SentMessage("system", "Late."),
        SentMessage("user", "On."),
    ]
    asked = body(question("own", *twice, form=JSON), "ours")["messages"]
    assert [m["content"] for m in asked] == ["One.", f"Two.\n\n{ONLY_JSON}", "Go.", "Late.", "On."]
    alone = body(question("own", SentMessage("user", "Go."), form=JSON), "ours")["messages"]
    assert [(m["role"], m["content"]) for m in alone] == [("system", ONLY_JSON), ("user", "Go.")]


def test_a_name_that_openai_does_not_take_is_changed():
    long = "ä" + "x" * 90
    asked = body(question(form=form(CLOSED, long)), "openai")
    assert asked["response_format"]["json_schema"]["name"] == "_" + "x" * 63


@pytest.mark.parametrize(
    ("name", "model", "given", "kept", "left_out"),
    [
        pytest.param(
            "openai",
            "gpt-5-mini",
            {"temperature": 0.2, "top_p": 0.9, "stop": ["E"], "seed": 1},
            {"seed": 1},
            ("stop", "temperature", "top_p"),
            id="openai thinks",
        ),
        pytest.param(
            "openai",
            "gpt-5-mini",
            {"temperature": 1, "reasoning_effort": "low"},
            {"temperature": 1, "reasoning_effort": "low"},
            (),
            id="openai thinks, as usual",
        ),
        pytest.param(
            "openai",
            "gpt-4o-mini",
            {"temperature": 0.2, "stop": ["E"]},
            {"temperature": 0.2, "stop": ["E"]},
            (),
            id="openai does not think",
        ),
        pytest.param(
            "mistral", "mistral-small-latest", {"seed": 7}, {"random_seed": 7}, (), id="mistral"
        ),
        pytest.param(
            "google",
            "gemini-2.5-flash",
            {"seed": 7, "temperature": 0.1},
            {"temperature": 0.1},
            ("seed",),
            id="google",
        ),
        pytest.param(
            "xai", "grok-4.5", {"stop": ["E"], "top_p": 0.5}, {"top_p": 0.5}, ("stop",), id="xai"
        ),
        pytest.param(
            "ours", "own", {"top_k": 5, "stop": ["E"]}, {"top_k": 5, "stop": ["E"]}, (), id="own"
        ),
        pytest.param(
            "anthropic",
            "claude-haiku-4-5-20251001",
            {
                "temperature": 1.5,
                "top_p": 0.9,
                "stop": ["E"],
                "seed": 1,
                "metadata": {"user_id": "u"},
            },
            {"temperature": 1.0, "stop_sequences": ["E"], "metadata": {"user_id": "u"}},
            ("seed", "top_p"),
            id="claude 4.5",
        ),
        pytest.param(
            "anthropic",
            "claude-sonnet-5",
            {"temperature": 0.2, "top_k": 5, "stop": ["E"]},
            {"stop_sequences": ["E"]},
            ("temperature", "top_k"),
            id="claude 5",
        ),
        pytest.param(
            "anthropic", "claude-opus-4-7", {"top_p": 0.2}, {}, ("top_p",), id="claude 4.7"
        ),
        pytest.param(
            "anthropic", "claude-opus-4-20250514", {"top_p": 0.2}, {"top_p": 0.2}, (), id="claude 4"
        ),
    ],
)
def test_parameters_are_sent_as_the_model_takes_them(name, model, given, kept, left_out):
    asked = question(model, **given)
    sent = body(asked, name)
    bare = body(question(model), name)
    assert {key: sent[key] for key in sent.keys() - bare.keys()} == kept
    assert {key: sent[key] for key in bare} == bare
    assert worded(asked, provider(name)).left_out == left_out


def test_no_parameter_changes_what_the_step_itself_says():
    given = {"model": "other", "messages": [], "stream": False, "stream_options": None}
    assert body(question("own", **given), "ours") == body(question("own"), "ours")
    claude = body(question("claude-haiku-4-5", **given), "anthropic")
    assert claude == body(question("claude-haiku-4-5"), "anthropic")


def test_anthropic_is_given_the_part_of_a_schema_that_it_can_hold_to():
    properties = {"n": {"type": "integer", "minimum": 1, "description": "How many"}}
    schema = {**CLOSED, "properties": properties, "required": []}
    asked = body(
        question("claude-haiku-4-5", form=form(schema), output_config={"effort": "low"}),
        "anthropic",
    )
    held = {"n": {"type": "integer", "description": "How many (minimum 1)"}}
    assert asked["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {**schema, "properties": held}},
    }
    assert asked["system"] == [{"type": "text", "text": "Be brief."}]


def test_anthropic_is_told_a_schema_that_it_can_not_hold_to():
    asked = body(question("claude-haiku-4-5", form=form(OPEN)), "anthropic")
    assert "output_config" not in asked
    assert [part["text"] for part in asked["system"]] == ["Be brief.", in_words(form(OPEN))]


@pytest.mark.parametrize(
    ("name", "url", "part"),
    [
        ("openai", FAR, {"type": "image_url", "image_url": {"url": FAR}}),
        ("openai", PIXEL, {"type": "image_url", "image_url": {"url": PIXEL}}),
        ("anthropic", FAR, {"type": "image", "source": {"type": "url", "url": FAR}}),
        (
            "anthropic",
            PIXEL,
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            },
        ),
        (
            "anthropic",
            "data:image/svg+xml,%3Csvg%2F%3E",
            {
                "type": "image",
                "source": {
                    "type": "base64",
                    "media_type": "image/svg+xml",
                    "data": "PHN2Zy8+",
                },
            },
        ),
    ],
    ids=["openai far", "openai data", "anthropic far", "anthropic data", "anthropic, not base64"],
)
def test_an_image_goes_with_its_message(name, url, part):
    asked = body(question("m", SentMessage("user", "Look.", (("image", url),))), name)
    (message,) = asked["messages"]
    assert part in message["content"]
    assert {"type": "text", "text": "Look."} in message["content"]


@pytest.mark.parametrize(
    ("media", "kind"),
    [("audio/mpeg", "mp3"), ("audio/wav", "wav"), ("audio/x-wav", "wav"), ("audio/ogg", "ogg")],
)
def test_a_sound_is_sent_as_it_is(media, kind):
    sound = (("audio", f"data:{media};codecs=1;base64,AAAA"),)
    asked = body(question("gpt-audio", SentMessage("user", "", sound)), "openai")
    assert asked["messages"][0]["content"] == [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": kind}}
    ]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("openai", "https://example.com/a.mp3"),
        ("anthropic", "data:audio/wav;base64,AAAA"),
        ("openai", "data:audio/wav;base64,"),
        ("openai", "data:nothing"),
    ],
)
def test_what_a_provider_can_not_be_given_is_said_without_its_address(name, url):
    with pytest.raises(WordingError) as caught:
        body(question("m", SentMessage("user", "Hear.", (("audio", url),))), name)
    assert url not in str(caught.value)


def test_a_server_of_ones_own_may_fetch_a_sound():
    far = "https://example.com/a.mp3"
    asked = body(question("m", SentMessage("user", "", (("audio", far),))), "ours")
    assert asked["messages"][0]["content"] == [{"type": "audio_url", "audio_url": {"url": far}}]


def test_anthropic_gets_no_message_without_anything_in_it():
    said = [
        SentMessage("system", " "),
        SentMessage("user", "One."),
        SentMessage("assistant", ""),
        SentMessage("user", "Two."),
    ]
    asked = body(question("claude-haiku-4-5", *said), "anthropic")
    assert "system" not in asked
    assert [m["content"][0]["text"] for m in asked["messages"]] == ["One.", "Two."]


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_an_image_that_is_not_the_users_goes_with_the_users_next_message(name):
    image = (("image", FAR),)
    said = [
        SentMessage("system", "Look.", image),
        SentMessage("user", "Now."),
        SentMessage("assistant", "Done.", image),
        SentMessage("user", "Again.", image),
    ]
    asked = body(question("m", *said), name)
    parts = [[p["type"] for p in m["content"]] for m in asked["messages"] if m["role"] == "user"]
    assert [kinds.count("text") for kinds in parts] == [1, 1]
    assert [len(kinds) for kinds in parts] == [2, 3]
    assert not any("image" in str(m) for m in asked["messages"] if m["role"] != "user")


def test_what_is_said_around_a_schema_is_within_what_estimates_count():
    around = most_tokens(in_words(form({}))) - most_tokens("{}")
    assert around + TOKENS_OF_MESSAGE <= TOKENS_OF_FORM
    assert most_tokens(in_words(JSON)) + TOKENS_OF_MESSAGE <= TOKENS_OF_FORM
    assert ROOM_TOKENS <= TOKENS_OF_FORM


def test_a_worded_request_does_not_show_its_prompt():
    assert "Hello" not in repr(worded(question(), provider("openai")))
