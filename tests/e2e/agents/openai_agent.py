"""An agent that uses the official `openai` SDK as its users do; it knows nothing of Remora.

Reads a list of calls from stdin and prints what the SDK made of each: text and usage.
"""

import json
import sys

import openai

client = openai.OpenAI(max_retries=0)


def chat(arguments):
    if not arguments.get("stream"):
        answer = client.chat.completions.create(**arguments)
        return answer.choices[0].message.content, _figures(answer.usage)
    text, usage = "", None
    for chunk in client.chat.completions.create(**arguments):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = _figures(chunk.usage) if chunk.usage else usage
    return text, usage


def responses(arguments):
    if not arguments.get("stream"):
        answer = client.responses.create(**arguments)
        return answer.output_text, _usage(answer.usage)
    text, usage = "", None
    for event in client.responses.create(**arguments):
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.completed":
            usage = _usage(event.response.usage)
    return text, usage


def embeddings(arguments):
    del arguments["encoding_format"]  # the SDK asks for base64 by itself, and then decodes it
    answer = client.embeddings.create(**arguments)
    return f"{len(answer.data[0].embedding)} numbers", [answer.usage.prompt_tokens, 0]


def realtime(arguments):
    text = ""
    with client.realtime.connect(model=arguments["model"]) as connection:
        connection.response.create()
        for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.done":
                return text, _usage(event.response.usage)


def _figures(usage):
    return [usage.prompt_tokens, usage.completion_tokens]


def _usage(usage):
    return [usage.input_tokens, usage.output_tokens]


CALLS = {function.__name__: function for function in (chat, responses, embeddings, realtime)}
print(json.dumps([CALLS[call](arguments) for call, arguments in json.load(sys.stdin)]))
