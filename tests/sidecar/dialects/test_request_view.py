"""The view that rules have of a request: shapes of every dialect, bounds, any bytes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.transcripts import Transcript
from remora_sidecar.dialects.framing.json_values import parse_json
from remora_sidecar.dialects.request_messages import MAX_MESSAGES, MAX_TEXT_BYTES
from remora_sidecar.dialects.request_text import estimated_input_tokens
from remora_sidecar.dialects.request_view import RequestView
from remora_sidecar.model.exchange import RequestHead

_JSON = [(b"content-type", b"application/json")]
_HEAD = RequestHead("POST", "api.example.com", "/v1/chat", "", _JSON)


def _view(body: object) -> RequestView:
    return RequestView(_HEAD, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        pytest.param(
            {
                "messages": [
                    {"role": "developer", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "Hi"},
                        {"type": "image_url", "image_url": {"url": "https://x"}},
                        {"type": "text", "text": "there"}]},
                    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                    {"role": "tool", "tool_call_id": "1", "content": "42"},
                ]
            },
            [("system", "Be brief."), ("user", "Hi\nthere"), ("assistant", ""), ("tool", "42")],
            id="openai-chat",
        ),
        pytest.param(
            {"instructions": "Be brief.", "input": "Hi", "text": {"format": {"type": "text"}}},
            [("system", "Be brief."), ("user", "Hi")],
            id="openai-responses-text",
        ),
        pytest.param(
            {
                "prompt": {"id": "pmpt_1"},
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                    {"type": "reasoning", "summary": [], "encrypted_content": "secret"},
                    {"type": "function_call", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "1", "output": "42"},
                    {"type": "message", "role": "assistant",
                        "content": [{"type": "output_text", "text": "It is 42."}]},
                ],
            },
            [("user", "Hi"), ("assistant", ""), ("assistant", ""), ("tool", "42"),
                ("assistant", "It is 42.")],
            id="openai-responses-items",
        ),
        pytest.param({"prompt": "Say hi"}, [("user", "Say hi")], id="openai-completions"),
        pytest.param(
            {"prompt": ["one", "two"]}, [("user", "one"), ("user", "two")], id="many-prompts"
        ),
        pytest.param({"prompt": [9906, 11]}, [("user", "")], id="tokens"),
        pytest.param({"input": [[9906], [11]]}, [("user", ""), ("user", "")], id="many-tokens"),
        pytest.param({"input": "a text"}, [("user", "a text")], id="openai-embeddings"),
        pytest.param(
            {"input": ["a", "b"]}, [("user", "a"), ("user", "b")], id="openai-embeddings-many"
        ),
        pytest.param(
            {
                "system": [{"type": "text", "text": "Be brief."}],
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1",
                        "content": [{"type": "text", "text": "42"}]}]},
                ],
            },
            [("system", "Be brief."), ("user", "Hi"), ("user", "42")],
            id="anthropic-messages",
        ),
        pytest.param(
            {"requests": [{"custom_id": "1", "params": {"system": "S", "messages": [
                {"role": "user", "content": "Hi"}]}}]},
            [("system", "S"), ("user", "Hi")],
            id="anthropic-batches",
        ),
        pytest.param(
            {
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
                "contents": [
                    {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"data": "AAAA"}}]},
                    {"role": "model", "parts": [{"functionCall": {"name": "f"}}]},
                    {"role": "function",
                        "parts": [{"functionResponse": {"response": {"result": "42"}}}]},
                ],
            },
            [("system", "Be brief."), ("user", "Hi"), ("assistant", ""), ("tool", "42")],
            id="gemini-generate",
        ),
        pytest.param(
            {"model": "gemini-2.5-pro", "request": {"contents": [{"parts": [{"text": "Hi"}]}]}},
            [("user", "Hi")],
            id="gemini-cli",
        ),
        pytest.param(
            {"content": {"parts": [{"text": "a text"}]}}, [("user", "a text")], id="gemini-embed"
        ),
        pytest.param(
            {"requests": [{"content": {"parts": [{"text": "a"}]}}]},
            [("user", "a")],
            id="gemini-batch-embed",
        ),
        pytest.param(
            {"instances": [{"prompt": "a cat"}]}, [("user", "a cat")], id="gemini-predict"
        ),
        pytest.param(
            {"system_instruction": "Be brief.", "input": [
                {"type": "user_input", "content": [{"type": "text", "text": "Hi"}]},
                {"type": "model_output", "content": [{"type": "text", "text": "Ho"}]}]},
            [("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho")],
            id="gemini-interactions",
        ),
        pytest.param(
            {
                "system": [{"text": "Be brief."}],
                "messages": [
                    {"role": "user", "content": [{"text": "Hi"},
                        {"toolResult": {"content": [{"text": "42"}]}},
                        {"guardContent": {"text": {"text": "guarded"}}}]},
                ],
            },
            [("system", "Be brief."), ("user", "Hi\n42\nguarded")],
            id="bedrock-converse",
        ),
        pytest.param(
            {"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}}},
            [("user", "Hi")],
            id="bedrock-count-tokens",
        ),
        pytest.param({"inputText": "Hi"}, [("user", "Hi")], id="bedrock-invoke-titan"),
        pytest.param(
            {"singleEmbeddingParams": {"text": {"value": "Hi"}}},
            [("user", "Hi")],
            id="bedrock-invoke-nova-embed",
        ),
        pytest.param(
            {
                "preamble": "Be brief.",
                "chat_history": [
                    {"role": "USER", "message": "Hi"}, {"role": "CHATBOT", "message": "Ho"},
                ],
                "message": "How?",
                "documents": [{"title": "t", "snippet": "s"}],
            },
            [("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho"), ("user", "How?")],
            id="cohere-chat-v1",
        ),
        pytest.param(
            {"query": "q", "documents": ["a", {"text": "b"}]},
            [("user", "q"), ("user", "a"), ("user", "b")],
            id="cohere-rerank",
        ),
        pytest.param({"texts": ["a"]}, [("user", "a")], id="cohere-embed"),
        pytest.param(
            {"system": "Be brief.", "prompt": "Hi"},
            [("system", "Be brief."), ("user", "Hi")],
            id="ollama-generate",
        ),
        pytest.param({}, [], id="nothing"),
    ],
)  # fmt: skip
def test_messages_are_read_in_every_dialect(
    body: Mapping[str, Any], messages: list[tuple[str, str]]
) -> None:
    assert list(_view(body).messages) == messages


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_output_tokens": 5}, 5),
        ({"max_tokens_to_sample": 5}, 5),
        ({"generationConfig": {"maxOutputTokens": 5}}, 5),
        ({"generation_config": {"max_output_tokens": 5}}, 5),
        ({"request": {"generationConfig": {"maxOutputTokens": 5}}}, 5),
        ({"inferenceConfig": {"maxTokens": 5}}, 5),
        ({"inferenceConfig": {"max_new_tokens": 5}}, 5),
        ({"textGenerationConfig": {"maxTokenCount": 5}}, 5),
        ({"max_gen_len": 5}, 5),
        ({"options": {"num_predict": 5}}, 5),
        ({"options": {"num_predict": -1}}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": "5"}, 5),
        ({"max_tokens": "nan"}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": 10**30}, None),
        ({"generationConfig": 5}, None),
        ({}, None),
    ],
)
def test_the_limit_of_the_answer_is_read_in_every_dialect(
    body: Mapping[str, Any], limit: int | None
) -> None:
    assert _view(body).max_output_tokens == limit


@pytest.mark.parametrize(
    ("body", "tools"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, ("f",)),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "search"}]}, ("f", "search")),
        ({"functions": [{"name": "f"}]}, ("f",)),
        ({"tools": [{"name": "f", "input_schema": {}}, {"type": "bash_1", "name": "bash"}]},
            ("f", "bash")),
        ({"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]},
            {"googleSearch": {}}]}, ("f", "g", "googleSearch")),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}, {"cachePoint": {}}]}},
            ("f", "cachePoint")),
        ({"tools": {"function_declarations": [{"name": "f"}]}}, ("f",)),
        ({"tools": [7, None, {}]}, ()),
        ({"tools": "f"}, ()),
    ],
)  # fmt: skip
def test_tools_are_named_in_every_dialect(body: Mapping[str, Any], tools: tuple[str, ...]) -> None:
    assert _view(body).tools == tools


@pytest.mark.parametrize(
    ("body", "choices"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"n": 0}, 1),
        ({"n": None}, 1),
        ({"n": 2, "best_of": 5}, 5),
        ({"generationConfig": {"candidateCount": 4}}, 4),
        ({"num_generations": 2}, 2),
        ({"numResults": 2}, 2),
    ],
)
def test_choices_are_counted_in_every_dialect(body: Mapping[str, Any], choices: int) -> None:
    assert _view(body).choices == choices


def test_fields_of_a_form_are_read_and_its_files_are_not() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    body = (
        part % (b"prompt", b"", b"a cat")
        + part % (b"n", b"", b"2")
        + part % (b"image", b'; filename="a.png"', b"\x89PNG")
        + b"--b--\r\n"
    )
    head = _HEAD._replace(headers=[(b"Content-Type", b"multipart/form-data; boundary=b")])
    view = RequestView(head, body)
    assert list(view.messages) == [("user", "a cat")]
    assert view.choices == 2


class TestConversationKey:
    _START = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    )

    def _key(self, *more: Mapping[str, str], **fields: object) -> str:
        return _view({"messages": [*self._START, *more], **fields}).conversation_key

    def test_it_stays_as_a_conversation_grows(self) -> None:
        answered = {"role": "assistant", "content": "Ho"}
        asked = {"role": "user", "content": "How?"}
        assert self._key() == self._key(answered) == self._key(answered, asked)
        assert self._key() == self._key(asked)

    def test_no_model_or_setting_has_a_part_in_it(self) -> None:
        assert self._key(model="a") == self._key(model="b", temperature=1, stream=True)

    @pytest.mark.parametrize(
        "messages",
        [
            [("system", "Be brief."), ("user", "Ho")],
            [("system", "Be long."), ("user", "Hi")],
            [("user", "Hi")],
            [("user", "Be brief."), ("user", "Hi")],
            [("system", "Be brief.user"), ("user", "Hi")],
        ],
    )
    def test_another_beginning_is_another_conversation(
        self, messages: list[tuple[str, str]]
    ) -> None:
        body = {"messages": [{"role": role, "content": text} for role, text in messages]}
        key = _view(body).conversation_key
        assert key != self._key()
        assert len(key) == 32

    def test_it_is_the_same_in_every_dialect(self) -> None:
        google = {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        }
        assert _view(google).conversation_key == self._key()

    def test_a_request_without_messages_has_none(self) -> None:
        assert _view({"model": "a"}).conversation_key == ""


def _texts(view: RequestView) -> Iterator[str]:
    return (message.text for message in view.messages)


def test_texts_are_cut_to_a_bound_from_both_ends() -> None:
    long = [{"role": "user", "content": f"{n:05}" * 200} for n in range(200)]
    view = _view({"messages": long})
    texts = list(_texts(view))
    assert sum(map(len, texts)) == MAX_TEXT_BYTES
    assert (texts[0], texts[-1]) == ("00000" * 200, "00199" * 200)
    assert texts[100] == ""
    assert view.messages_cut


def test_one_long_text_keeps_its_beginning() -> None:
    view = _view({"messages": [{"role": "user", "content": "é" * MAX_TEXT_BYTES}]})
    (text,) = _texts(view)
    assert len(text.encode()) <= MAX_TEXT_BYTES // 2
    assert set(text) == {"é"}
    assert view.messages_cut


def test_a_question_after_a_long_prompt_is_seen() -> None:
    long = {"role": "system", "content": "a" * 10 * MAX_TEXT_BYTES}
    view = _view({"messages": [long, {"role": "user", "content": "Hi"}]})
    assert list(_texts(view))[1] == "Hi"


def test_the_middle_of_a_very_long_conversation_is_left_out() -> None:
    view = _view({"messages": [{"role": "user", "content": str(n)} for n in range(2000)]})
    texts = list(_texts(view))
    assert len(texts) == MAX_MESSAGES
    assert (texts[0], texts[-1]) == ("0", "1999")
    assert view.messages_cut


def test_a_short_conversation_is_not_cut() -> None:
    assert not _view({"messages": [{"role": "user", "content": "Hi"}]}).messages_cut


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"a"', b"\xff", b"[" * 5000, b'{"messages":' * 2000]
)
def test_what_is_no_request_has_nothing_in_it(body: bytes) -> None:
    assert _everything(RequestView(_HEAD, body)) == ((), False, (), None, 1, 0, "")


def _everything(view: RequestView) -> tuple[object, ...]:
    return (
        view.messages, view.messages_cut, view.tools, view.max_output_tokens, view.choices,
        view.estimated_input_tokens, view.conversation_key,
    )  # fmt: skip


_NAMES = st.sampled_from(
    [
        "messages", "role", "content", "text", "parts", "input", "system", "tools", "function",
        "name", "type", "contents", "requests", "request", "params", "converse", "prompt", "n",
        "max_tokens", "generationConfig", "maxOutputTokens", "functionDeclarations", "toolSpec",
        "toolConfig", "chat_history", "message", "documents", "query", "output", "instances",
    ]
)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=25,
)


@given(st.one_of(st.binary(max_size=200), _VALUES.map(lambda v: json.dumps(v).encode())))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    view = RequestView(_HEAD, body)
    _everything(view)
    assert all(text.encode() == text.encode("utf-8", "replace") for text in _texts(view))
    assert sum(len(text.encode()) for text in _texts(view)) <= MAX_TEXT_BYTES


_RECORDED = (
    "anthropic-messages", "bedrock-converse", "bedrock-invoke", "cohere", "gemini-generate",
    "openai-chat", "openai-completions", "openai-embeddings", "openai-responses",
)  # fmt: skip

_LIMITS = (
    ("max_completion_tokens",), ("max_output_tokens",), ("max_tokens",), ("maxTokens",),
    ("max_gen_len",), ("max_tokens_to_sample",),
    ("generationConfig", "maxOutputTokens"), ("inferenceConfig", "maxTokens"),
    ("inferenceConfig", "max_new_tokens"), ("textGenerationConfig", "maxTokenCount"),
)  # fmt: skip


def _stated_limit(asked: Mapping[str, Any]) -> object:
    for path in _LIMITS:
        value: Any = asked
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None


_Recorded = tuple[Transcript, RequestView, Mapping[str, Any]]


@pytest.fixture(params=_RECORDED)
def requests(
    request: pytest.FixtureRequest, recorded: Callable[[str], Sequence[Transcript]]
) -> list[_Recorded]:
    """The recorded requests of each dialect in turn, of those whose body is whole."""
    found: list[_Recorded] = []
    for transcript in recorded(request.param):
        fields = [(name.encode(), value.encode()) for name, value in transcript.request_headers]
        head = RequestHead(
            transcript.method, transcript.host, transcript.path, transcript.query, fields
        )
        asked = parse_json(transcript.request_body)
        if isinstance(asked, dict):
            found.append((transcript, RequestView(head, transcript.request_body), asked))
    return found


def test_every_recorded_request_has_messages(
    requests: list[_Recorded],
) -> None:
    for transcript, view, _ in requests:
        assert view.messages, transcript.id
        assert any(_texts(view)), transcript.id
        assert {m.role for m in view.messages} <= {"system", "user", "assistant", "tool",
            "invalid_role"}, transcript.id  # fmt: skip
        assert view.conversation_key, transcript.id


def test_every_recorded_limit_tool_and_estimate_is_read(
    requests: list[_Recorded],
) -> None:
    for transcript, view, asked in requests:
        assert view.max_output_tokens == _stated_limit(asked), transcript.id
        assert bool(view.tools) is _has_tools(asked), transcript.id
        estimate = estimated_input_tokens(transcript.request_body)
        assert view.estimated_input_tokens == estimate, transcript.id


def _has_tools(asked: Mapping[str, Any]) -> bool:
    configured = asked.get("toolConfig")
    inner = configured.get("tools") if isinstance(configured, dict) else None
    return bool(asked.get("tools") or asked.get("functions") or inner)
