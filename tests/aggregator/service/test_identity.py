"""Who somebody is, by each of the ways of showing it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import BadRequest
from remora_aggregator.service.caller import Caller, Role, Scope
from remora_aggregator.service.identity import Anyone, Identities
from remora_aggregator.service.pod_tokens import Account
from remora_aggregator.service.shown import Shown, bearer, shown_in
from remora_aggregator.service.token_file import TokenFile

TOKEN = "a-token-that-is-long-enough"
LINES = f"""
{TOKEN} team-a
system:serviceaccount:monitoring:grafana team-a,team-b reader board
system:serviceaccount:ops:ann * admin ann
system:serviceaccount:team-a:boss team-a admin boss
system:serviceaccount:team-a:batch team-a member batch
spiffe://example.org/vm/7 team-a reporter vm-7
"""


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(LINES)
    return TokenFile(file)


class Pods:
    """Knows every token by what it says."""

    def __init__(self, account):  # noqa: D107
        self._account = account

    async def account(self, shown):
        return self._account


@pytest.mark.parametrize("peer", ["unix:", "unix:/s", "ipv4:127.0.0.1:5", "ipv6:%5B::1%5D:5"])
async def test_without_tokens_this_machine_is_the_admin_of_local(peer):
    assert await Anyone().caller(Shown(peer=peer)) == Caller("local", Role.ADMIN, "local")


@pytest.mark.parametrize(
    "peer", ["", "ipv4:10.0.0.1:5", "ipv6:%5Bfd00::1%5D:5", "ipv4:1.127.0.0:1"]
)
async def test_without_tokens_no_other_machine_is_served(peer):
    with pytest.raises(BadRequest, match="only this machine") as refused:
        await Anyone().caller(Shown(peer=peer))
    assert refused.value.status == 401


async def test_a_static_token_says_who_one_is(tokens):
    found = await Identities(tokens).caller(Shown(TOKEN))
    assert (found.namespace, found.role) == ("team-a", Role.MEMBER)


async def test_a_static_token_is_known_before_the_cluster_is_asked(tokens):
    identities = Identities(tokens, Pods(Account("team-z", "x", "p", "u")))
    assert (await identities.caller(Shown(TOKEN))).namespace == "team-a"
    assert (await identities.caller(Shown("another"))).namespace == "team-z"


@pytest.mark.parametrize(
    ("account", "caller"),
    [
        pytest.param(
            Account("team-a", "default", "agent-1", "u-1"),
            Caller("team-a", Role.REPORTER, "agent-1/u-1", pod_uid="u-1"),
            id="a pod",
        ),
        pytest.param(
            Account("monitoring", "grafana"),
            Caller("", Role.READER, "board", frozenset({"team-a", "team-b"})),
            id="a reader",
        ),
        pytest.param(
            Account("monitoring", "grafana", "g-1", "u-1"),
            Caller("", Role.READER, "board", frozenset({"team-a", "team-b"}), "u-1"),
            id="a reader's pod",
        ),
        pytest.param(
            Account("ops", "ann"), Caller("ops", Role.ADMIN, "ann", None), id="an admin of all"
        ),
        pytest.param(
            Account("team-a", "boss", "b-1", "u-1"),
            Caller("team-a", Role.ADMIN, "boss", frozenset({"team-a"}), "u-1"),
            id="an admin at home",
        ),
        pytest.param(
            Account("team-a", "batch", "b-1", "u-1"),
            Caller("team-a", Role.MEMBER, "b-1/u-1", frozenset({"team-a"}), "u-1"),
            id="a member's pod",
        ),
    ],
)
async def test_an_account_is_its_pod_or_what_the_file_says(tokens, account, caller):
    assert await Identities(tokens, Pods(account)).caller(Shown("jwt")) == caller


async def test_an_account_of_no_pod_that_no_line_names_may_nothing(tokens):
    with pytest.raises(BadRequest, match="bound to no pod") as refused:
        await Identities(tokens, Pods(Account("team-a", "default"))).caller(Shown("jwt"))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("uris", "caller"),
    [
        pytest.param(
            ("remora://team-a/reporter/vm-7",),
            Caller("team-a", Role.REPORTER, "vm-7", frozenset({"team-a"})),
            id="ours",
        ),
        pytest.param(
            ("remora://*/admin/ann@example.org",),
            Caller("", Role.ADMIN, "ann@example.org", None),
            id="an admin",
        ),
        pytest.param(
            ("https://example.org", "remora://a,b/reader/x"),
            Caller("", Role.READER, "x", frozenset({"a", "b"})),
            id="others beside it",
        ),
        pytest.param(
            ("spiffe://example.org/vm/7",),
            Caller("team-a", Role.REPORTER, "vm-7", frozenset({"team-a"})),
            id="one that the file names",
        ),
    ],
)
async def test_a_certificates_uri_says_who_one_is(tokens, uris, caller):
    identities = Identities(tokens, certificates=True)
    assert await identities.caller(Shown(uris=uris)) == caller


@pytest.mark.parametrize(
    "uris",
    [
        ("https://example.org",),
        ("remora://team-a/boss/x",),
        ("remora://a,b/reporter/x",),
        ("remora://*/member/x",),
        ("remora://team-a/reporter/",),
        ("remora://team-a/reporter/x/y",),
        ("remora://team-a/reporter/x", "remora://team-b/reporter/x"),
    ],
    ids=["another", "role", "two namespaces", "everywhere", "no name", "longer", "ambiguous"],
)
async def test_other_certificates_say_nothing(tokens, uris):
    with pytest.raises(BadRequest, match="has to say who it is") as refused:
        await Identities(tokens, certificates=True).caller(Shown(uris=uris))
    assert refused.value.status == 401


async def test_certificates_count_only_where_they_were_asked_for(tokens):
    with pytest.raises(BadRequest, match="a token is needed"):
        await Identities(tokens).caller(Shown(uris=("remora://team-a/reporter/x",)))


async def test_a_wrong_token_is_not_mended_by_a_certificate(tokens):
    shown = Shown("wrong-but-long-enough", ("remora://team-a/reporter/x",))
    with pytest.raises(BadRequest, match="not one of this aggregator's") as refused:
        await Identities(tokens, certificates=True).caller(shown)
    assert refused.value.status == 401


def test_what_a_call_shows_is_read_from_it():
    metadata = (("user-agent", "x"), ("authorization", b"bearer  secret "))
    auth = {"peer_uri": [b"remora://a/reader/x"], "x509_common_name": [b"x"]}
    shown = shown_in(metadata, auth, "ipv4:1.2.3.4:5")
    assert shown == Shown("secret", ("remora://a/reader/x",), "ipv4:1.2.3.4:5")
    assert shown.host == "ipv4:1.2.3.4"
    assert "secret" not in repr(shown)


@given(st.text(max_size=40))
def test_any_authorization_is_a_token_or_refused(text):
    try:
        token = bearer(text)
    except BadRequest as refused:
        assert refused.status == 401  # noqa: PT017 - either will do
    else:
        assert text.rstrip().endswith(token)
        assert token.isascii()


@pytest.mark.parametrize(
    "text", ["", "Basic x", "Bearer", "Bearer ", "Bearer a b", "Bearer é", f"Bearer {'x' * 9000}"]
)
def test_what_is_no_bearer_token_is_refused(text):
    with pytest.raises(BadRequest):
        bearer(text)


SCOPES = {
    "a pod": (Caller("a", Role.REPORTER, "p", pod_uid="u"), Scope(("a",), "u")),
    "a member": (Caller("a", Role.MEMBER, "a"), Scope(("a",))),
    "a reader of two": (Caller("", Role.READER, "r", frozenset("ab")), Scope(("a", "b"))),
    "a reader of all": (Caller("", Role.READER, "r", None), Scope(None)),
    "an admin's pod": (Caller("a", Role.ADMIN, "r", frozenset("ab"), "u"), Scope(("a", "b"))),
}


@pytest.mark.parametrize(("caller", "scope"), SCOPES.values(), ids=SCOPES)
def test_whose_records_somebody_reads(caller, scope):
    assert caller.scope == scope


def test_a_reporter_that_proved_no_pod_reads_no_records():
    with pytest.raises(BadRequest, match="bound to no pod"):
        _ = Caller("a", Role.REPORTER, "r").scope


@pytest.mark.parametrize(
    ("caller", "wanted", "found"),
    [
        (Caller("a", Role.MEMBER, "x"), "", "a"),
        (Caller("a", Role.ADMIN, "x", frozenset("ab")), "b", "b"),
        (Caller("", Role.READER, "x", frozenset("b")), "", "b"),
        (Caller("", Role.ADMIN, "x", None), "anything", "anything"),
    ],
    ids=["its own", "another", "the only one", "any"],
)
def test_a_namespace_that_is_meant(caller, wanted, found):
    assert caller.namespace_of(wanted) == found


@pytest.mark.parametrize(
    ("caller", "wanted", "status"),
    [
        (Caller("a", Role.MEMBER, "x"), "b", 403),
        (Caller("", Role.READER, "x", frozenset("ab")), "", 400),
        (Caller("", Role.ADMIN, "x", None), "", 400),
    ],
    ids=["a neighbour's", "one of two", "one of all"],
)
def test_a_namespace_that_can_not_be_meant(caller, wanted, status):
    with pytest.raises(BadRequest) as refused:
        caller.namespace_of(wanted)
    assert refused.value.status == status


def test_who_is_of_no_one_namespace_writes_in_none():
    with pytest.raises(BadRequest, match="no one namespace") as refused:
        _ = Caller("", Role.ADMIN, "ann", None).home
    assert refused.value.status == 403
