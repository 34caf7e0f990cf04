"""A small agent that uses the official `openai` SDK: what the demo and compose run.

`python -m remora.testing.agent` makes one plain call, one stream, one tool call, one that
fails and one stream that it gives up, and says what it did. It knows nothing of Remora.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable

MODEL = "gpt-4o-mini"
FAILING = "[[error:503]] Are you there?"
ENDLESS = "[[endless]] Tell me everything about the sea."
"""Words that make the provider double answer with an error, and without end."""

_WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Say what the weather is in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def main() -> int:
    """Run the agent's rounds; the exit code is 0 unless something unexpected happened."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often; 0 means for ever")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between rounds")
    arguments = parser.parse_args()
    agent = _Agent()
    done = 0
    while True:
        agent.round()
        done += 1
        if done == arguments.rounds:
            return 0
        time.sleep(arguments.pause)


class _Agent:
    """Talks to the model as agents do."""

    def __init__(self) -> None:
        import openai  # a part of `remora[demo]`

        self._openai = openai
        # The key is a dummy: the provider double takes any.
        self._client = openai.OpenAI(api_key="sk-demo", max_retries=0)

    def round(self) -> None:
        """Make each kind of call once."""
        steps: tuple[Callable[[], str], ...] = (
            self._ask, self._stream, self._use_tool, self._fail, self._give_up,
        )  # fmt: skip
        for step in steps:
            print(f"agent: {step()}", flush=True)

    def _ask(self) -> str:
        answer = self._client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "What do remoras do?"}]
        )
        return f"asked, was told {_short(answer.choices[0].message.content)!r}"

    def _stream(self) -> str:
        pieces: list[str] = []
        with self._client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "And why?"}],
            stream=True,
            stream_options={"include_usage": True},
        ) as stream:
            for chunk in stream:
                pieces += [choice.delta.content or "" for choice in chunk.choices]
        return f"streamed {len(pieces)} pieces: {_short(''.join(pieces))!r}"

    def _use_tool(self) -> str:
        answer = self._client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "What is the weather in Kiel?"}],
            tools=[_WEATHER_TOOL],  # type: ignore[list-item]  # the SDK's own type is a TypedDict union
        )
        calls = answer.choices[0].message.tool_calls or []
        names = [call.function.name for call in calls if call.type == "function"]
        arguments = [
            json.loads(call.function.arguments) for call in calls if call.type == "function"
        ]
        return f"was asked to call {', '.join(names)} with {arguments}"

    def _fail(self) -> str:
        try:
            self._client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": FAILING}]
            )
        except self._openai.APIStatusError as error:
            return f"got the provider's own error {error.status_code}"
        return "expected an error and got none"

    def _give_up(self) -> str:
        seen = 0
        with self._client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": ENDLESS}],
            stream=True,
        ) as stream:
            for _ in stream:
                seen += 1
                if seen == 4:
                    break
        return f"gave up a stream after {seen} chunks"


def _short(text: str | None, limit: int = 48) -> str:
    text = text or ""
    return text if len(text) <= limit else text[: limit - 1] + "…"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a small program without a traceback
    sys.exit(main())
