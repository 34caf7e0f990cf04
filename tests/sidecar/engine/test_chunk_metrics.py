"""A streamed answer's chunks in the metrics of a running sidecar."""

import json

import aiohttp

from remora_sidecar.settings import format_address

ASKED = json.dumps(
    {
        "model": "gpt-4o-mini",
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    }
).encode()
COUNT = "gen_ai_client_operation_time_per_output_chunk_seconds_count{"


async def test_the_times_between_chunks_are_counted(carrying):
    agent = await carrying.agent()
    headers = [("Host", "api.openai.com"), ("Content-Type", "application/json")]
    await agent.ask("POST", "/v1/chat/completions", headers, ASKED)
    await carrying.record()
    url = f"http://{format_address(carrying.sidecar.status)}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        text = await answer.text()
    (line,) = [line for line in text.splitlines() if line.startswith(COUNT)]
    assert 'gen_ai_request_model="gpt-4o-mini"' in line
    assert float(line.rpartition(" ")[2]) > 0
