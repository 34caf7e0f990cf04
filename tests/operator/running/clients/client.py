"""Asks each host by each library, and prints `LIBRARY HOST: ok` or why not."""

import asyncio
import sys
import urllib.error
import urllib.request
from contextlib import suppress

import aiohttp
import boto3
import botocore.config
import botocore.exceptions
import grpc
import httpx
import openai
import requests


def by_urllib(host: str) -> None:
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(f"https://{host}/", timeout=20).close()


def by_requests(host: str) -> None:
    requests.get(f"https://{host}/", timeout=20)


def by_httpx(host: str) -> None:
    httpx.get(f"https://{host}/", timeout=20)


def by_aiohttp(host: str) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as session, session.get(f"https://{host}/"):
            pass

    asyncio.run(ask())


def by_openai(host: str) -> None:
    client = openai.OpenAI(api_key="x", base_url=f"https://{host}/v1", max_retries=0, timeout=20)
    with suppress(openai.APIStatusError):
        client.models.list()


def by_boto3(host: str) -> None:
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=20)
    client = boto3.client(
        "bedrock-runtime", endpoint_url=f"https://{host}", region_name="us-east-1",
        aws_access_key_id="x", aws_secret_access_key="x", config=config,
    )  # fmt: skip
    with suppress(botocore.exceptions.ClientError):
        client.converse(modelId="x", messages=[{"role": "user", "content": [{"text": "x"}]}])


def by_grpcio(host: str) -> None:
    """The servers speak no HTTP/2: who hears that has believed the certificate before."""
    with grpc.secure_channel(f"{host}:443", grpc.ssl_channel_credentials()) as channel:
        try:
            channel.unary_unary("/x/y")(b"", timeout=20)
        except grpc.RpcError as error:
            if "missing selected ALPN" not in error.details():
                raise


LIBRARIES = {
    "urllib": by_urllib,
    "requests": by_requests,
    "httpx": by_httpx,
    "aiohttp": by_aiohttp,
    "openai": by_openai,
    "boto3": by_boto3,
    "grpcio": by_grpcio,
}


FAILURES = (
    OSError,
    httpx.HTTPError,
    openai.OpenAIError,
    botocore.exceptions.BotoCoreError,
    aiohttp.ClientError,
    grpc.RpcError,
)


def why(error: BaseException | None) -> str:
    """All that an error says, and what it came from."""
    texts = []
    while error is not None:
        texts.append(str(error) or type(error).__name__)
        error = error.__cause__ or error.__context__
    return " | ".join(texts).replace("\n", " ")


for name, ask in LIBRARIES.items():
    for host in sys.argv[1:]:
        try:
            ask(host)
        except FAILURES as error:
            print(f"{name} {host}: {why(error)}")
        else:
            print(f"{name} {host}: ok")
