"""An agent that uses `boto3` for Bedrock as its users do; it knows nothing of Remora.

Reads a list of calls from stdin and prints what the SDK made of each: text and usage.
"""

import json
import sys

import boto3

client = boto3.client("bedrock-runtime")


def converse(arguments):
    answer = client.converse(**arguments)
    (content,) = answer["output"]["message"]["content"]
    return content["text"], _usage(answer["usage"])


def converse_stream(arguments):
    text, usage = "", None
    for event in client.converse_stream(**arguments)["stream"]:
        if "contentBlockDelta" in event:
            text += event["contentBlockDelta"]["delta"]["text"]
        elif "metadata" in event:
            usage = _usage(event["metadata"]["usage"])
    return text, usage


def invoke_model(arguments):
    answer = json.load(client.invoke_model(**arguments)["body"])
    (content,) = answer["output"]["message"]["content"]
    return content["text"], _usage(answer["usage"])


def invoke_model_with_response_stream(arguments):
    text, usage = "", None
    for event in client.invoke_model_with_response_stream(**arguments)["body"]:
        told = json.loads(event["chunk"]["bytes"])
        if "contentBlockDelta" in told:
            text += told["contentBlockDelta"]["delta"]["text"]
        elif "metadata" in told:
            usage = _usage(told["metadata"]["usage"])
    return text, usage


def _usage(usage):
    return [usage["inputTokens"], usage["outputTokens"]]


CALLS = {
    function.__name__: function
    for function in (converse, converse_stream, invoke_model, invoke_model_with_response_stream)
}
print(json.dumps([CALLS[call](arguments) for call, arguments in json.load(sys.stdin)]))
