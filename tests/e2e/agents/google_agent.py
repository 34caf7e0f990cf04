"""An agent that uses the official `google-genai` SDK as its users do; it knows nothing of Remora.

Reads a list of calls from stdin and prints what the SDK made of each: text and usage.
"""

import json
import sys

from google import genai

client = genai.Client()


def generate_content(arguments):
    return _told([client.models.generate_content(**arguments)])


def generate_content_stream(arguments):
    return _told(list(client.models.generate_content_stream(**arguments)))


def _told(answers):
    usage = answers[-1].usage_metadata
    output = usage.candidates_token_count + (usage.thoughts_token_count or 0)
    return "".join(answer.text or "" for answer in answers), [usage.prompt_token_count, output]


CALLS = {function.__name__: function for function in (generate_content, generate_content_stream)}
print(json.dumps([CALLS[call](arguments) for call, arguments in json.load(sys.stdin)]))
