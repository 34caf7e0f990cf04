"""A token for a cookie, and what the cookie is worth."""

from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.clock import ManualClock
from remora_aggregator.web.cookie import LIFE_S, NONCE_BYTES, Seal, SignedIn, SignedOut, cookie_name

READER = "reader-token-0123456789"
PAGE = {"Sec-Fetch-Site": "same-origin"}
NOW_NS = 1_767_225_600 * 10**9


async def _sign_in(api, token=READER, **options):
    return await api.ask("POST", "/v1/sign-in", json={"token": token}, **options)


async def test_a_cookie_opens_what_its_token_does(open_api, token_file, call):
    async with open_api(token_file=token_file, clock=ManualClock()) as api:
        await api.put(call(1), namespace="team-a")
        await api.put(call(2), namespace="team-b")
        assert (await api.get("/v1/records")).status == 401
        answer = await _sign_in(api)
        assert answer.json == {
            "name": "anna",
            "role": "reader",
            "namespace": "",
            "namespaces": ["team-a"],
            "may": [
                "ask_health",
                "learn_services",
                "read_executions",
                "read_records",
                "read_scores",
                "read_signals",
                "read_tasks",
            ],
            "aggregator_version": answer.json["aggregator_version"],
            "expires_at": "2026-01-01T12:00:00.000000Z",
        }
        assert (await api.get("/v1/records")).call_numbers == [1]
        assert (await api.get("/v1/whoami")).json == answer.json


async def test_the_cookie_is_kept_from_scripts_and_other_sites(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        answer = await _sign_in(api)
    morsel = SimpleCookie(answer.headers["Set-Cookie"])[cookie_name(is_secure=False)]
    assert morsel["httponly"]
    assert morsel["samesite"] == "Strict"
    assert morsel["path"] == "/"
    assert morsel["max-age"] == str(LIFE_S)
    assert READER not in answer.headers["Set-Cookie"]


async def test_a_bearer_goes_before_the_cookie(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        await _sign_in(api)
        wide = {"Authorization": "Bearer wide-token-01234567890"}
        answer = await api.get("/v1/whoami", headers=wide)
        assert (answer.json["name"], answer.json["expires_at"]) == ("ben", None)
        wrong = await api.get("/v1/whoami", headers={"Authorization": "Bearer nonsense"})
        assert (wrong.status, wrong.headers["WWW-Authenticate"]) == (401, 'Bearer realm="remora"')


async def test_signing_out_takes_the_cookie_back_wherever_it_went(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        signed_in = await _sign_in(api)
        stolen = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0]}
        out = await api.ask("POST", "/v1/sign-out", headers=PAGE)
        assert (out.status, out.body) == (204, b"")
        assert (await api.get("/v1/whoami")).status == 401
        assert (await api.get("/v1/whoami", headers=stolen)).status == 401


async def test_nobody_is_signed_out_by_a_page_of_another_origin(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        await _sign_in(api)
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
            assert (await api.ask("POST", "/v1/sign-out", headers=headers)).status == 403
        assert (await api.get("/v1/whoami")).status == 200


async def test_nobody_is_signed_in_by_a_page_of_another_origin(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        answer = await _sign_in(api, headers={"Sec-Fetch-Site": "cross-site"})
        assert (answer.status, answer.json["code"]) == (403, "other-origin")
        assert "Set-Cookie" not in answer.headers


async def test_a_cookie_ends_after_its_time(open_api, token_file):
    clock = ManualClock()
    async with open_api(token_file=token_file, clock=clock) as api:
        cookie = (await _sign_in(api)).headers["Set-Cookie"].partition(";")[0]
        clock.advance(LIFE_S - 1)
        assert (await api.get("/v1/whoami", headers={"Cookie": cookie})).status == 200
        clock.advance(1)
        assert (await api.get("/v1/whoami", headers={"Cookie": cookie})).status == 401


async def test_a_token_that_is_taken_back_ends_its_cookies(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        await _sign_in(api)
        token_file.write_text("another-token-0123456789 team-a reader\n")
        assert (await api.get("/v1/whoami")).status == 401


async def test_replicas_with_one_key_know_each_others_cookies(open_api, token_file, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    given = {"token_file": token_file, "sign_in_key_file": key}
    async with open_api(**given) as one:
        cookie = (await _sign_in(one)).headers["Set-Cookie"].partition(";")[0]
    async with open_api(**given) as other:
        assert (await other.get("/v1/whoami", headers={"Cookie": cookie})).status == 200
    async with open_api(token_file=token_file) as stranger:
        assert (await stranger.get("/v1/whoami", headers={"Cookie": cookie})).status == 401


async def test_the_key_is_made_once_and_is_nobody_elses(open_api, token_file, tmp_path):
    async with open_api(token_file=token_file) as api:
        cookie = (await _sign_in(api)).headers["Set-Cookie"].partition(";")[0]
    path = tmp_path / "sign-in.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32
    async with open_api(token_file=token_file) as again:
        assert (await again.get("/v1/whoami", headers={"Cookie": cookie})).status == 200
    assert list(tmp_path.glob("sign-in.key*")) == [path]


@pytest.mark.parametrize("left", [0, 31])
async def test_a_part_of_a_key_that_a_crash_left_is_made_anew(open_api, token_file, tmp_path, left):
    (tmp_path / "sign-in.key").write_bytes(b"x" * left)
    async with open_api(token_file=token_file) as api:
        assert (await _sign_in(api)).status < 300
    secret = (tmp_path / "sign-in.key").read_bytes()
    assert (len(secret), b"xxx" in secret) == (32, False)


@pytest.mark.parametrize(
    ("sent", "status", "where"),
    [
        ({"json": {"token": "wrong-token-0123456789"}}, 401, None),
        ({"json": {"token": ""}}, 400, "token"),
        ({"json": {"token": "x" * 2501}}, 400, "token"),
        ({"json": {"token": 7}}, 400, "token"),
        ({"json": {"token": READER, "more": 1}}, 400, "more"),
        ({"json": {}}, 400, "token"),
        ({"json": []}, 400, None),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, None),
        ({"data": b"[" * 60_000, "headers": {"Content-Type": "application/json"}}, 400, None),
        ({"data": b"x" * 65_537, "headers": {"Content-Type": "application/json"}}, 413, None),
        ({"data": {"token": READER}}, 415, "Content-Type"),
        ({"data": b"{}", "headers": {"Content-Type": "application/json",
                                     "Content-Encoding": "gzip"}}, 415, "Content-Encoding"),
        ({"json": {"token": "two words of it"}}, 401, None),
    ],
    ids=["wrong", "empty", "long", "number", "more", "nothing", "list", "cut", "bomb", "huge",
         "form", "packed", "words"],
)  # fmt: skip
async def test_who_sends_no_good_token_is_told_and_nothing_is_repeated(
    open_api, token_file, sent, status, where
):
    async with open_api(token_file=token_file) as api:
        answer = await api.ask("POST", "/v1/sign-in", **sent)
    assert (answer.status, answer.json["where"]) == (status, where)
    assert "Set-Cookie" not in answer.headers
    assert b"wrong-token" not in answer.body
    assert b"two words" not in answer.body


@pytest.mark.parametrize(
    "cookie", ["", "x", "é", "A" * 4000, "AAAA====", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
)
async def test_a_cookie_of_nobodys_is_none(open_api, token_file, cookie):
    async with open_api(token_file=token_file) as api:
        answer = await api.get("/v1/whoami", headers={"Cookie": f"remora={cookie}"})
    assert (answer.status, answer.json["code"]) == (401, "no-token")


async def test_where_no_tokens_are_used_everybody_here_is_known(api):
    assert (await api.get("/v1/whoami")).json["namespaces"] == ["local"]


async def test_a_reader_is_not_shown_the_names_of_other_namespaces(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        bearer = {"Authorization": f"Bearer {READER}"}
        answer = await api.get("/v1/records?namespace=team-b", headers=bearer)
        assert (answer.status, answer.json["code"]) == (403, "other-namespace")
        assert (await api.get("/v1/usage?namespace=team-a", headers=bearer)).status == 200
        admin = {"Authorization": "Bearer admin-token-0123456789"}
        assert (await api.get("/v1/whoami", headers=admin)).json["namespaces"] is None


async def test_who_asks_too_much_is_told_when_to_come_again(open_api, token_file):
    async with open_api(token_file=token_file, queries_per_s=0.1, clock=ManualClock()) as api:
        bearer = {"Authorization": f"Bearer {READER}"}
        statuses = [(await api.get("/v1/records", headers=bearer)).status for _ in range(3)]
        refused = await api.get("/v1/records", headers=bearer)
        assert statuses[0] == 200
        assert (refused.status, refused.json["code"]) == (429, "rate-limited")
        assert int(refused.headers["Retry-After"]) >= 1


@given(st.text(max_size=300), st.integers(0, 2**62), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_is_opened_by_the_same_secret_alone(token, expires, nonce):
    sealed = Seal(b"a" * 32).sealed(SignedIn(token, expires), nonce)
    assert Seal(b"a" * 32).opened(sealed, expires - 1) == SignedIn(token, expires)
    assert Seal(b"a" * 32).opened(sealed, expires) is None
    assert Seal(b"b" * 32).opened(sealed, expires - 1) is None


@given(st.integers(0), st.sampled_from("ABCxyz019-_"))
def test_a_cookie_that_was_changed_is_none(at, letter):
    sealed = Seal(b"a" * 32).sealed(SignedIn(READER, NOW_NS), bytes(NONCE_BYTES))
    at %= len(sealed) - 1  # the last letter has bits that say nothing
    changed = sealed[:at] + letter + sealed[at + 1 :]
    assert Seal(b"a" * 32).opened(changed, 0) == (
        SignedIn(READER, NOW_NS) if changed == sealed else None
    )


@given(st.text(max_size=200))
def test_any_text_is_opened_as_nothing(text):
    assert Seal(b"a" * 32).opened(text, 0) is None


def test_the_list_of_cookies_that_were_given_back_is_bounded():
    out = SignedOut(most=2)
    for cookie in "abc":
        out.add(cookie)
    assert [cookie in out for cookie in "abc"] == [False, True, True]
