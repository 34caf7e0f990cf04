"""OpenAI's paths on the control listener, below ``/v1`` and ``/api/v1``."""

from typing import Final

from aiohttp import web

from remora.workflows.capabilities import Overrides
from remora_sidecar.control.admission import Kind
from remora_sidecar.control.handling import STATE, Handler, asked, guarded, refused
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.openai_api.surface import SURFACES, Surface

BASES: Final = ("/v1", "/api/v1")
"""OpenAI's own, and the broker's whose published client is served."""


def add_openai_calls(app: web.Application) -> None:
    """Serve the calls."""
    for base in BASES:
        for surface in SURFACES:
            app.router.add_post(f"{base}{surface.path}", guarded(Kind.SESSION, _call(surface)))
        app.router.add_get(f"{base}/models", guarded(Kind.SESSION, _models))
        app.router.add_get(f"{base}/models/{{name:.+}}", guarded(Kind.SESSION, _model))
        app.router.add_get(f"{base}/capabilities", guarded(Kind.SESSION, _capabilities))
        app.router.add_post(f"{base}/capabilities", guarded(Kind.ADMIN, _set_capabilities))


def _call(surface: Surface) -> Handler:
    async def call(request: web.Request) -> web.StreamResponse:
        return await request.app[STATE].openai.call(request, surface)

    return call


async def _models(request: web.Request) -> web.StreamResponse:
    return await request.app[STATE].openai.models(request)


async def _model(request: web.Request) -> web.StreamResponse:
    return await request.app[STATE].openai.model(request, request.match_info["name"])


async def _capabilities(request: web.Request) -> web.StreamResponse:
    return web.json_response(request.app[STATE].openai.capabilities.view)


async def _set_capabilities(request: web.Request) -> web.StreamResponse:
    """Put other meanings in force; those that the body does not name are the catalogue's."""
    overrides = await asked(request, Overrides, "the capabilities")
    if isinstance(overrides, Refusal):
        return refused(overrides)
    kept = request.app[STATE].openai.capabilities
    try:
        await kept.replace(overrides)
    except OSError as error:
        what = f"the capabilities can't be written down: {error.strerror or type(error).__name__}"
        return refused(Refusal(503, "api_error", "NOT_WRITTEN", what, retry=True))
    return web.json_response(kept.view)
