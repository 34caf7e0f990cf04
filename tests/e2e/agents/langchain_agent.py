"""An agent that uses LangChain's `ChatOpenAI` as its users do; it knows nothing of Remora.

Reads a list of calls from stdin and prints what LangChain made of each: text and usage.
"""

import json
import sys

from langchain_openai import ChatOpenAI


def _model(arguments):
    return ChatOpenAI(model=arguments["model"], max_retries=0)


def invoke(arguments):
    return _told(_model(arguments).invoke(arguments["messages"]))


def stream(arguments):
    first, *others = _model(arguments).stream(arguments["messages"])
    return _told(sum(others, start=first))


def _told(message):
    usage = message.usage_metadata
    return message.text, [usage["input_tokens"], usage["output_tokens"]]


CALLS = {function.__name__: function for function in (invoke, stream)}
print(json.dumps([CALLS[call](arguments) for call, arguments in json.load(sys.stdin)]))
