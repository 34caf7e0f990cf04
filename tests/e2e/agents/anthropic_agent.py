"""An agent that uses the official `anthropic` SDK as its users do; it knows nothing of Remora.

Reads a list of calls from stdin and prints what the SDK made of each: text and usage.
"""

import json
import sys

import anthropic

client = anthropic.Anthropic(max_retries=0)


def messages(arguments):
    if arguments.pop("stream", False):
        with client.messages.stream(**arguments) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(**arguments)
    text = "".join(block.text for block in message.content if block.type == "text")
    return text, [message.usage.input_tokens, message.usage.output_tokens]


print(json.dumps([messages(arguments) for _, arguments in json.load(sys.stdin)]))
