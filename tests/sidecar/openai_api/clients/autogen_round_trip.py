"""An agent of AutoGen's, and a stream; prints what they said as JSON."""

import asyncio
import json
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient

MODEL = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",
}


async def told():
    """Ask once through an agent and once for a stream."""
    client = OpenAIChatCompletionClient(
        model="auto", base_url=os.environ["BASE_URL"], api_key="x", model_info=MODEL
    )
    result = await AssistantAgent("agent", model_client=client).run(task="Say hello.")
    asked = [UserMessage(content="Say hello.", source="user")]
    pieces = [piece async for piece in client.create_stream(asked) if isinstance(piece, str)]
    await client.close()
    return {"agent": result.messages[-1].content, "stream": "".join(pieces)}


print(json.dumps(asyncio.run(told())))
