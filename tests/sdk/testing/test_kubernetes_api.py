"""The API server for tests, asked over HTTP as clients ask."""

import asyncio
import json

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.kubernetes_api import KubernetesApi
from remora.testing.kubernetes_objects import Refused, ResourcePath, merged
from remora.testing.kubernetes_tokens import KnownToken

PODS = "/api/v1/namespaces/team-a/pods"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def api():
    async with KubernetesApi().serving() as running:
        yield running


@pytest.fixture
async def ask(api):
    async with aiohttp.ClientSession(api.url) as client:

        async def asked(method, path, body=None, kind="application/json", **query):
            data = None if body is None else json.dumps(body)
            headers = {"Content-Type": kind}
            async with client.request(
                method, path, data=data, headers=headers, params=query
            ) as answer:
                return answer.status, await answer.json()

        yield asked


def _pod(name, **labels):
    return {"kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {"x": 1}}


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        ("/api/v1/pods", ResourcePath("v1/pods")),
        (PODS, ResourcePath("v1/pods", "team-a")),
        (f"{PODS}/p", ResourcePath("v1/pods", "team-a", "p")),
        (f"{PODS}/p/status", ResourcePath("v1/pods", "team-a", "p", "status")),
        ("/api/v1/namespaces", ResourcePath("v1/namespaces")),
        ("/api/v1/namespaces/n", ResourcePath("v1/namespaces", "", "n")),
        ("/api/v1/namespaces/n/status", ResourcePath("v1/namespaces", "", "n", "status")),
        (
            "/apis/remora.dev/v1alpha1/namespaces/n/llmpolicies/p",
            ResourcePath("remora.dev/v1alpha1/llmpolicies", "n", "p"),
        ),
    ],
)
def test_paths_name_resources(path, parsed):
    assert ResourcePath.parse(path) == parsed


@given(st.text(max_size=60))
def test_any_path_is_a_resource_or_not_found(path):
    try:
        assert ResourcePath.parse(path).kind
    except Refused as refused:
        assert refused.status == 404  # noqa: PT017 - either will do


async def test_an_object_lives_from_post_to_delete(ask):
    status, made = await ask("POST", PODS, _pod("p"))
    assert (status, made["metadata"]["namespace"], made["metadata"]["generation"]) == (
        201, "team-a", 1,
    )  # fmt: skip
    assert (await ask("GET", f"{PODS}/p"))[1] == made
    status, changed = await ask("PATCH", f"{PODS}/p", {"spec": {"x": 2}}, MERGE)
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert changed["metadata"]["generation"] == 2
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert (await ask("DELETE", f"{PODS}/p"))[0] == 200
    status, said = await ask("GET", f"{PODS}/p")
    assert (status, said["reason"]) == (404, "NotFound")


async def test_a_name_can_be_made_by_the_server(ask):
    names = set()
    for _ in range(2):
        _, made = await ask("POST", PODS, {"metadata": {"generateName": "job-"}})
        names.add(made["metadata"]["name"])
    assert len(names) == 2
    assert (await ask("POST", PODS, {"metadata": {}}))[0] == 422


async def test_lists_are_of_one_namespace_or_of_all_and_can_be_selected(ask):
    await ask("POST", PODS, _pod("a", app="x"))
    await ask("POST", PODS, _pod("b", app="y"))
    await ask("POST", "/api/v1/namespaces/other/pods", _pod("c", app="x", tier="1"))

    async def names(path, **query):
        _, found = await ask("GET", path, **query)
        return [one["metadata"]["name"] for one in found["items"]]

    assert await names(PODS) == ["a", "b"]
    assert await names("/api/v1/pods") == ["c", "a", "b"]  # by namespace, then by name
    assert await names("/api/v1/pods", labelSelector="app=x") == ["c", "a"]
    assert await names("/api/v1/pods", labelSelector="app==x,!tier") == ["a"]
    assert await names("/api/v1/pods", labelSelector="app!=x") == ["b"]
    assert await names("/api/v1/pods", labelSelector="tier") == ["c"]
    assert await names(PODS, fieldSelector="metadata.name=b") == ["b"]


async def test_a_stale_version_and_a_second_creation_are_conflicts(ask):
    _, made = await ask("POST", PODS, _pod("p"))
    assert (await ask("POST", PODS, _pod("p")))[1]["reason"] == "AlreadyExists"
    await ask("PATCH", f"{PODS}/p", {"spec": {"x": 2}}, MERGE)
    status, said = await ask("PUT", f"{PODS}/p", made)
    assert (status, said["reason"]) == (409, "Conflict")


async def test_the_status_is_written_apart(ask):
    await ask("POST", PODS, _pod("p"))
    body = {"status": {"phase": "Failed"}, "spec": {"x": 9}}
    _, made = await ask("PATCH", f"{PODS}/p/status", body, MERGE)
    assert (made["spec"], made["status"]) == ({"x": 1}, {"phase": "Failed"})
    assert made["metadata"]["generation"] == 1


async def test_apply_creates_and_changes(ask):
    for value in (1, 2):
        _, made = await ask(
            "PATCH", f"{PODS}/p", {"spec": {"v": value}}, "application/apply-patch+yaml"
        )
        assert made["spec"] == {"v": value}


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        ("GET", "/nothing", None, "", 404),
        ("POST", PODS, [], "", 400),
        ("PATCH", f"{PODS}/none", {}, MERGE, 404),
        ("PATCH", f"{PODS}/none", {}, "application/json-patch+json", 415),
        ("DELETE", PODS, None, "", 405),
    ],
)
async def test_what_can_not_be_done_is_said_as_a_status(ask, method, path, body, kind, status):
    got, said = await ask(method, path, body, kind or "application/json")
    assert (got, said["kind"], said["code"]) == (status, "Status", status)


async def _watched(client, path, **query):
    async with client.get(path, params={"watch": "1", **query}) as answer:
        return [json.loads(line) async for line in answer.content]


async def test_a_watch_tells_what_was_and_what_comes(api):
    start = api.objects.version
    api.put(f"{PODS}/before", {})
    async with aiohttp.ClientSession(api.url) as client:
        watching = asyncio.ensure_future(_watched(client, PODS, resourceVersion=str(start)))
        async with asyncio.timeout(10):
            while ("GET", PODS) not in api.requests:  # noqa: ASYNC110 - the server signals nothing
                await asyncio.sleep(0.001)
        api.put(f"{PODS}/after", {})
        api.delete(f"{PODS}/before")
        api.put("/api/v1/namespaces/other/pods/elsewhere", {})
        api.drop_watches()
        lines = await watching
    told = [(line["type"], line["object"]["metadata"]["name"]) for line in lines]
    assert told == [("ADDED", "before"), ("ADDED", "after"), ("DELETED", "before")]


async def test_a_watch_from_too_long_ago_is_expired(api):
    api.put(f"{PODS}/p", {})
    api.objects.forget_changes()
    async with aiohttp.ClientSession(api.url) as client:
        [line] = await _watched(client, PODS, resourceVersion="1")
    assert (line["type"], line["object"]["code"]) == ("ERROR", 410)


async def test_a_watch_ends_when_it_was_asked_to(api):
    async with aiohttp.ClientSession(api.url) as client:
        assert await _watched(client, PODS, timeoutSeconds="0.05") == []


@pytest.mark.parametrize(
    ("known", "asked", "accepted"),
    [
        (KnownToken("n", audiences=("a", "b")), ["b"], ["b"]),
        (KnownToken("n", audiences=("a",)), ["b"], None),
        (None, ["a"], None),
    ],
    ids=["for it", "for another", "unknown"],
)
async def test_a_token_is_reviewed_for_audiences(api, ask, known, asked, accepted):
    if known:
        api.tokens["t"] = known
    status, review = await ask("POST", REVIEWS, {"spec": {"token": "t", "audiences": asked}})
    assert (status, review["status"].get("audiences")) == (201, accepted)
    assert review["status"]["authenticated"] is bool(accepted)
    assert api.reviews == 1


async def test_a_pods_token_names_the_pod(api, ask):
    uid = api.add_pod("team-a", "p", token="t", audience="remora-operator")
    _, review = await ask(
        "POST", REVIEWS, {"spec": {"token": "t", "audiences": ["remora-operator"]}}
    )
    user = review["status"]["user"]
    assert user["username"] == "system:serviceaccount:team-a:default"
    assert user["extra"]["authentication.kubernetes.io/pod-uid"] == [uid]


async def test_faults_are_had_on_demand(api, ask):
    api.fails_with = 503
    assert (await ask("GET", PODS))[0] == 503
    api.fails_with = None
    api.callers = {"operator"}
    assert (await ask("GET", PODS))[0] == 401


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text("abc", max_size=1), inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(st.text("abc", max_size=1), _values, max_size=3)


@given(_objects, _objects)
def test_a_merge_patch_twice_is_as_once_and_leaves_its_target_alone(target, patch):
    before = json.dumps(target)
    once = merged(target, patch)
    assert merged(once, patch) == once
    assert json.dumps(target) == before
    assert all(patch[name] is not None for name in once if name in patch)


async def test_a_list_comes_in_pages_of_one_version(ask):
    for name in "abcde":
        await ask("POST", PODS, _pod(name))
    _, first = await ask("GET", PODS, limit="2")
    await ask("POST", PODS, _pod("f"))
    _, second = await ask("GET", PODS, limit="2", **{"continue": first["metadata"]["continue"]})
    names = [one["metadata"]["name"] for page in (first, second) for one in page["items"]]
    assert names == ["a", "b", "c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    _, last = await ask("GET", PODS, limit="9", **{"continue": second["metadata"]["continue"]})
    assert "continue" not in last["metadata"]


async def test_a_page_after_what_is_forgotten_is_expired(api, ask):
    for name in "abc":
        await ask("POST", PODS, _pod(name))
    _, first = await ask("GET", PODS, limit="2")
    api.objects.forget_changes()
    status, said = await ask("GET", PODS, limit="2", **{"continue": first["metadata"]["continue"]})
    assert (status, said["reason"]) == (410, "Expired")


async def _told(api, changes, *, accept="application/json", **query):
    """What a watch tells of changes, as types and names; bookmarks with their version."""
    version = str(api.objects.version)
    params = {"watch": "true", "resourceVersion": version, **query}
    async with (
        aiohttp.ClientSession(api.url, headers={"Accept": accept}) as client,
        client.get(PODS, params=params) as answer,
    ):
        changes()
        api.drop_watches()
        return [json.loads(line) async for line in answer.content]


async def test_an_object_that_leaves_a_selector_is_gone_for_its_watch(api):
    api.put(f"{PODS}/p", _pod("p", app="x"))

    def changes():
        api.put(f"{PODS}/p", _pod("p", app="y"))
        api.put(f"{PODS}/q", _pod("q", app="y"))
        api.put(f"{PODS}/q", _pod("q", app="x"))
        api.delete(f"{PODS}/q")
        api.delete(f"{PODS}/p")

    lines = await _told(api, changes, labelSelector="app=x")
    told = [(line["type"], line["object"]["metadata"]["name"]) for line in lines]
    assert told == [("DELETED", "p"), ("ADDED", "q"), ("DELETED", "q")]


async def test_who_asks_for_metadata_is_given_nothing_else(api):
    api.put(f"{PODS}/p", _pod("p"))
    form = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
    lines = await _told(
        api, lambda: api.put(f"{PODS}/p", _pod("p", app="x")), accept=form.format("")
    )
    async with (
        aiohttp.ClientSession(api.url, headers={"Accept": form.format("List")}) as client,
        client.get(PODS) as answer,
    ):
        listed = await answer.json()
    assert listed["kind"] == "PartialObjectMetadataList"
    for one in (*listed["items"], lines[0]["object"]):
        assert set(one) == {"kind", "apiVersion", "metadata"}


async def test_bookmarks_come_to_those_who_want_them(api):
    wanted = await _told(api, api.send_bookmarks, allowWatchBookmarks="true")
    version = str(api.objects.version)
    assert wanted == [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}]
    assert await _told(api, api.send_bookmarks) == []


async def test_a_change_that_names_another_uid_is_refused(ask):
    await ask("POST", PODS, _pod("p"))
    status, said = await ask("PATCH", f"{PODS}/p", {"metadata": {"uid": "another"}}, MERGE)
    assert (status, said["reason"]) == (422, "Invalid")


async def test_a_change_that_changes_nothing_makes_no_version(api, ask):
    _, made = await ask("POST", PODS, _pod("p"))
    _, same = await ask("PATCH", f"{PODS}/p", {"spec": {"x": 1}}, MERGE)
    assert same == made
    assert str(api.objects.version) == made["metadata"]["resourceVersion"]


async def test_single_requests_can_be_refused(api, ask):
    api.refuses = lambda method, _: 503 if method == "POST" else None
    assert (await ask("POST", PODS, _pod("p")))[0] == 503
    assert (await ask("GET", PODS))[0] == 200
