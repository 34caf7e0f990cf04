"""What the control listener serves of OpenAI's API."""

import asyncio
import json
from importlib import import_module
from typing import Any

from aiohttp import web

from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.engine.goal import GOAL_HEADER, goal_in_header
from remora_sidecar.engine.parts import EngineParts
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.openai_api.asked import read_asked
from remora_sidecar.openai_api.body import held_body
from remora_sidecar.openai_api.capability_file import CapabilityFile
from remora_sidecar.openai_api.carrying import Carrying
from remora_sidecar.openai_api.choosing import Choosing
from remora_sidecar.openai_api.client_key import ClientKey, read_client_key
from remora_sidecar.openai_api.models import found_model, listed_models
from remora_sidecar.openai_api.offers import Offers
from remora_sidecar.openai_api.plan import NoModels
from remora_sidecar.openai_api.surface import Surface


class OpenAIApi:
    """Answers OpenAI's clients.

    Attributes:
        capabilities: A namespace's own meanings of capabilities.
        offers: Knows which models may be asked for.
    """

    def __init__(
        self, parts: EngineParts, offers: Offers, carrying: Carrying, capabilities: CapabilityFile
    ) -> None:
        """Take what it is made of."""
        self.capabilities = capabilities
        self._parts = parts
        self.offers = offers
        self._choosing = Choosing(parts, offers)
        self._carrying = carrying
        self._is_ready = False

    async def call(self, request: web.Request, surface: Surface) -> web.StreamResponse:
        """Answer one LLM call."""
        await self._ready()
        key = self._key(request)
        if isinstance(key, Refusal):
            return refused_as_openai(key)
        body = await held_body(request.content, self._parts.held_body_bytes)
        asked = body if isinstance(body, Refusal) else read_asked(surface, body)
        if isinstance(asked, Refusal):
            return refused_as_openai(asked)
        goal = goal_in_header(request.headers.get(GOAL_HEADER, "")) or key.session.goal
        plan = self._choosing.plan(asked, key, goal)
        if isinstance(plan, NoModels):
            return _nobody(plan)
        answer = await self._carrying.carry(request, asked, plan, key)
        return refused_as_openai(answer) if isinstance(answer, Refusal) else answer

    async def models(self, request: web.Request) -> web.Response:
        """List what can be asked for."""
        await self._ready()
        key = self._key(request)
        if isinstance(key, Refusal):
            return refused_as_openai(key)
        return web.json_response({"object": "list", "data": listed_models(self.offers, key)})

    async def model(self, request: web.Request, name: str) -> web.Response:
        """Show one model that can be asked for."""
        await self._ready()
        key = self._key(request)
        if isinstance(key, Refusal):
            return refused_as_openai(key)
        found = found_model(self.offers, key, name)
        if found is None:
            what = "no such model can be asked for: GET /v1/models lists those that can"
            return refused_as_openai(Refusal(404, "invalid_request_error", "model_not_found", what))
        return web.json_response(found)

    async def _ready(self) -> None:
        """Load what the first request needs on a thread: calls of agents go on meanwhile."""
        if not self._is_ready:
            await asyncio.to_thread(self._load)
            self._is_ready = True

    def _load(self) -> None:
        import_module("remora.outcomes.goals")  # its rules take a while to compile
        self.offers.load()

    def _key(self, request: web.Request) -> ClientKey | Refusal:
        return read_client_key(request.headers.get("Authorization", ""), self._parts.sessions)


def refused_as_openai(refusal: Refusal, **details: Any) -> web.Response:
    """Word a refusal as OpenAI's clients read it, with more that our own object says."""
    shaped = openai_error(refusal, "")
    body = json.loads(shaped.body)
    body["remora"] |= details
    headers = {name.decode(): value.decode() for name, value in shaped.headers}
    return web.Response(status=shaped.status, body=json.dumps(body).encode(), headers=headers)


def _nobody(plan: NoModels) -> web.Response:
    return refused_as_openai(plan.refusal, dropped=plan.view)
