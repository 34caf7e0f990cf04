"""A Kubernetes API server for tests, over real HTTP: objects, watches and TokenReview.

Any resource can be stored under its path; nothing is validated. What goes wrong with real servers
can be had on demand: errors, slowness, watches that end, and a past that is forgotten (410).
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from aiohttp import web

from remora.testing.kubernetes_objects import (
    Json,
    ObjectStore,
    Refused,
    ResourcePath,
)
from remora.testing.kubernetes_tokens import KnownToken, token_review

_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
_MERGES = ("application/merge-patch+json", "application/strategic-merge-patch+json")
_APPLY = "application/apply-patch+yaml"
_MAX_BYTES = 3 * 1024 * 1024
_METADATA = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class KubernetesApi:
    """One API server.

    Attributes:
        url: Where it is, once it serves.
        objects: What it keeps; a test may change it directly.
        tokens: Whose each token is, for TokenReview and nothing else.
        callers: Tokens that requests must carry; none: anybody may ask.
        requests: Method and path of every request, in order.
        asked: Of every list and watch its path with the query, in order.
        reviews: How many tokens were reviewed.
        delay_s: How long every request waits.
        fails_with: The status of every answer; None: it answers.
        version: What it says of itself.
        refuses: Decides for single requests: method and path in, a status out; None: it answers.
        watches: How many watches stand.
    """

    def __init__(self) -> None:
        """Start with nothing stored."""
        self.url = ""
        self.objects = ObjectStore(self._changed)
        self.tokens: dict[str, KnownToken] = {}
        self.callers: set[str] = set()
        self.requests: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.delay_s = 0.0
        self.fails_with: int | None = None
        self.version = {"major": "1", "minor": "36"}
        self.refuses: Callable[[str, str], int | None] = lambda _method, _path: None
        self.watches = 0
        self._bookmarks = 0
        self._moved = asyncio.Event()
        self._watches_end = asyncio.Event()

    @property
    def reviews(self) -> int:
        """How many tokens were reviewed."""
        return sum(1 for _, path in self.requests if path == _REVIEWS)

    @asynccontextmanager
    async def serving(
        self, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> AsyncIterator[Self]:
        """Listen on loopback, over TLS if a context is given."""
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=0.1,
            handler_cancellation=True,  # a watch ends with its client
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        bound = runner.addresses[0][1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{bound}"
        try:
            yield self
        finally:
            self.drop_watches()
            await runner.cleanup()

    def put(self, path: str, body: Json) -> Json:
        """Store an object under its own path, or in place of the one there."""
        at = ResourcePath.parse(path)
        made: Json = {**body, "metadata": {**body.get("metadata", {}), "name": at.name}}
        try:
            self.objects.get(at)
        except Refused:
            return self.objects.create(at, made)
        return self.objects.replace(at, made)

    def delete(self, path: str) -> None:
        """Take an object out."""
        self.objects.delete(ResourcePath.parse(path))

    def add_pod(
        self, namespace: str, name: str, *, token: str = "", audience: str = "", **fields: Any
    ) -> str:
        """Store a running pod, and whose token is bound to it; returns its uid."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        body = {"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running"}, **fields}
        uid = str(self.put(path, body)["metadata"]["uid"])
        if token:
            account = body.get("spec", {}).get("serviceAccountName", "default")
            self.tokens[token] = KnownToken(namespace, account, (audience,), name, uid)
        return uid

    def drop_watches(self) -> None:
        """End every watch that stands."""
        self._watches_end.set()
        self._watches_end = asyncio.Event()
        self._changed()

    def send_bookmarks(self) -> None:
        """Tell every watch that wants bookmarks how far it has come, as servers do now and then."""
        self._bookmarks += 1
        self._changed()

    def _changed(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        try:
            self._admit(request)
            return await self._perform(request)
        except Refused as refused:
            return web.json_response(_status(refused), status=refused.status)
        except (ValueError, TypeError, AttributeError) as error:
            unread = Refused(400, "BadRequest", f"the request can't be read: {error}")
            return web.json_response(_status(unread), status=400)

    def _admit(self, request: web.Request) -> None:
        status = self.fails_with or self.refuses(request.method, request.path)
        if status is not None:
            raise Refused(status, "InternalError", "as the test wants it")
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.callers and sent not in self.callers:
            raise Refused(401, "Unauthorized", "Unauthorized")

    async def _perform(self, request: web.Request) -> web.StreamResponse:
        if request.path == _REVIEWS and request.method == "POST":
            return web.json_response(self._review(await request.json()), status=201)
        if request.path == "/version":
            return web.json_response(self.version)
        path = ResourcePath.parse(request.path)
        match request.method:
            case "GET" if path.name:
                return web.json_response(self.objects.get(path))
            case "GET" if request.query.get("watch") in ("1", "true"):
                return await self._watch(request, path)
            case "GET":
                return web.json_response(self._listed(request, path))
            case "POST" if not path.name:
                made = self.objects.create(path, await request.json())
                return web.json_response(made, status=201)
            case "PUT" if path.name:
                return web.json_response(self.objects.replace(path, await request.json()))
            case "PATCH" if path.name:
                return web.json_response(self._patched(request, path, await request.json()))
            case "DELETE" if path.name and not path.subresource:
                return web.json_response(self.objects.delete(path))
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method here")

    def _patched(self, request: web.Request, path: ResourcePath, body: Json) -> Json:
        if request.content_type not in (*_MERGES, _APPLY):
            raise Refused(415, "UnsupportedMediaType", f"{request.content_type} is not known here")
        if request.content_type == _APPLY:
            try:
                self.objects.get(path)
            except Refused:
                body.setdefault("metadata", {})["name"] = path.name
                return self.objects.create(path, body)
        return self.objects.patch(path, body)

    def _listed(self, request: web.Request, path: ResourcePath) -> Json:
        self.asked.append(request.path_qs)
        limit = int(request.query.get("limit") or 0)
        version, _, after = request.query.get("continue", "").partition(":")
        if version and int(version) < self.objects.forgotten:
            raise Refused(410, "Expired", "the provided continue parameter is too old")
        items, rest = self.objects.page(path, *_selectors(request), limit=limit, after=after)
        version = version or str(self.objects.version)
        more = {"continue": f"{version}:{rest}"} if rest else {}
        metadata = {"resourceVersion": version, **more}
        listed: Json = {"kind": "List", "apiVersion": "v1", "metadata": metadata}
        if _METADATA_LIST in request.headers.get("Accept", ""):
            return {
                **listed,
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "items": [_metadata(one) for one in items],
            }
        return {**listed, "items": items}

    def _review(self, review: Json) -> Json:
        spec = review["spec"]
        return {
            **review,
            "status": token_review(self.tokens.get(spec["token"]), spec.get("audiences") or ()),
        }

    async def _watch(self, request: web.Request, path: ResourcePath) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self.watches += 1
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 3600))):
                await self._tell(request, path, response)
        except TimeoutError:
            pass  # the watch is over, as was asked
        except Refused as refused:
            await response.write(_line("ERROR", _status(refused)))
        finally:
            self.watches -= 1
        with suppress(ConnectionError):  # the client has gone first
            await response.write_eof()
        return response

    async def _tell(
        self, request: web.Request, path: ResourcePath, response: web.StreamResponse
    ) -> None:
        version = int(request.query.get("resourceVersion") or self.objects.version)
        form = _metadata if _METADATA in request.headers.get("Accept", "") else _whole
        ends, bookmarks = self._watches_end, self._bookmarks
        while True:
            moved = self._moved
            for change in self.objects.changes_after(path, version):
                version = change.version
                if kind := change.seen_through(*_selectors(request)):
                    await response.write(_line(kind, form(change.object)))
            if bookmarks != self._bookmarks and request.query.get("allowWatchBookmarks"):
                bookmarks, version = self._bookmarks, self.objects.version
                await response.write(_bookmark(version))
            if ends.is_set():
                return
            await moved.wait()


def _selectors(request: web.Request) -> tuple[str, str]:
    return request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")


def _whole(one: Json) -> Json:
    return one


def _metadata(one: Json) -> Json:
    """Return an object without spec, data and status, as clients may ask for it."""
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**head, "metadata": one["metadata"]}


def _bookmark(version: int) -> bytes:
    return _line("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def _line(change: str, one: Json) -> bytes:
    return json.dumps({"type": change, "object": one}).encode() + b"\n"


def _status(refused: Refused) -> Json:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": str(refused),
        "reason": refused.reason,
        "code": refused.status,
    }
