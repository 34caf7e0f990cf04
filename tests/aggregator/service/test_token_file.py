"""The token file: what its lines give, and what happens when it changes."""

import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import ConfigError
from remora_aggregator.service.caller import Caller, Role
from remora_aggregator.service.token_file import Grant, TokenFile, parse_tokens

TOKEN = "a-token-that-is-long-enough"
ACCOUNT = "system:serviceaccount:monitoring:grafana"


def _only_grant(text):
    tokens = parse_tokens(text, "tokens")
    (grant,) = [*tokens.by_digest.values(), *tokens.by_name.values()]
    return grant


@pytest.mark.parametrize(
    ("line", "caller"),
    [
        pytest.param(
            "team-a", Caller("team-a", Role.MEMBER, "team-a", frozenset({"team-a"})), id="two words"
        ),
        pytest.param(
            "team-a reporter vm-7  # the one in the corner",
            Caller("team-a", Role.REPORTER, "vm-7", frozenset({"team-a"})),
            id="reporter",
        ),
        pytest.param(
            "team-a,team-b reader board",
            Caller("", Role.READER, "board", frozenset({"team-a", "team-b"})),
            id="reader of two",
        ),
        pytest.param(
            "team-a reader",
            Caller("", Role.READER, "reader of team-a", frozenset({"team-a"})),
            id="reader of one has none of its own",
        ),
        pytest.param("* reader all", Caller("", Role.READER, "all", None), id="reader of all"),
        pytest.param(
            "team-a admin ann",
            Caller("team-a", Role.ADMIN, "ann", frozenset({"team-a"})),
            id="admin of one",
        ),
        pytest.param("* admin ann", Caller("", Role.ADMIN, "ann", None), id="admin of all"),
    ],
)
def test_a_line_says_who_its_token_lets_in(line, caller):
    assert _only_grant(f"{TOKEN} {line}\n").caller == caller


@pytest.mark.parametrize("who", [ACCOUNT, "spiffe://example.org/ns/a/sa/b"])
def test_a_line_may_name_somebody_who_is_known_otherwise(who):
    tokens = parse_tokens(f"{who} team-a,team-b reader board\n", "tokens")
    grant = Grant(frozenset({"team-a", "team-b"}), Role.READER, "board")
    assert (tokens.by_digest, tokens.by_name) == ({}, {who: grant})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no token"),
        ("# nothing\n", "holds no token"),
        ("only-one-word-on-this-line\n", "TOKEN NAMESPACES"),
        (f"{TOKEN} a reader b c\n", "TOKEN NAMESPACES"),
        ("short ns\n", "shorter than 16"),
        (f"{TOKEN}é a\n", "printable ASCII"),
        (f"{TOKEN} a b\n", "role: reporter, member, reader, admin"),
        (f"{TOKEN} a,b\n", "a member has one namespace"),
        (f"{TOKEN} * reporter\n", "a reporter has one namespace"),
        (f"{TOKEN} a,,b reader\n", "joined by commas"),
        (f"{TOKEN} a/b\n", "joined by commas"),
        (f"{TOKEN} a reader {'n' * 65}\n", "64 characters"),
        (f"{TOKEN} a\n{TOKEN} b\n", "earlier line"),
        (f"{TOKEN} a\n{TOKEN} a reader\n", "earlier line"),
        ("system:serviceaccount:grafana * reader\n", "NAMESPACE:NAME"),
    ],
    ids=[
        "empty", "comments", "one word", "five words", "short", "letters", "role", "two namespaces",
        "everywhere", "no namespace", "slash", "name", "twice", "twice in role", "account",
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_line(text, problem):
    with pytest.raises(ConfigError, match=problem) as refusal:
        parse_tokens(text, "tokens")
    assert TOKEN not in str(refusal.value)


def test_every_wrong_line_is_named_by_its_number():
    text = f"short a\n{TOKEN} a\n# fine\n{TOKEN}2 a,b\n"
    with pytest.raises(ConfigError) as refusal:
        parse_tokens(text, "tokens")
    assert [problem.where for problem in refusal.value.problems] == ["tokens:1", "tokens:4"]


def test_the_same_line_twice_is_one():
    assert _only_grant(f"{TOKEN} a\n{TOKEN} a\n").name == "a"


@given(st.text(alphabet=string.printable + "é\x00", max_size=200))
def test_any_text_is_read_or_refused_without_its_words(text):
    try:
        tokens = parse_tokens(text, "tokens")
    except ConfigError as refusal:
        lines = [line.partition("#")[0].split() for line in text.splitlines()]
        tokens = [words[0] for words in lines if words and len(words[0]) >= 16]
        said = "\n".join(problem.what for problem in refusal.problems)
        assert not [token for token in tokens if token in said]
    else:
        assert tokens.by_digest or tokens.by_name


NAMESPACES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_-]{16,40}", fullmatch=True),
        st.tuples(
            st.sets(NAMESPACES, min_size=1, max_size=3), st.sampled_from(["reader", "admin"])
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_back(lines):
    text = "".join(f"{token} {','.join(where)} {role}\n" for token, (where, role) in lines.items())
    found = parse_tokens(text, "tokens").by_digest.values()
    assert [(grant.namespaces, grant.role.value) for grant in found] == list(lines.values())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# ours\n\n{TOKEN} team-a  # comment\n{ACCOUNT} * reader\n")
    return path


def _changed(file, text):
    file.write_text(text)
    os.utime(file, ns=(1, 1))


def test_a_token_is_found_and_no_other(file):
    tokens = TokenFile(file)
    assert tokens.grant_of_token(TOKEN).namespaces == {"team-a"}
    assert tokens.grant_of_name(ACCOUNT).namespaces is None
    assert [tokens.grant_of_token(word) for word in (TOKEN[:-1], "", ACCOUNT, "é")] == [None] * 4
    assert tokens.grant_of_name(TOKEN) is None


def test_a_changed_file_is_read_again(file):
    tokens = TokenFile(file)
    _changed(file, f"{TOKEN} team-b\n")
    assert tokens.grant_of_token(TOKEN).namespaces == {"team-b"}
    assert tokens.grant_of_name(ACCOUNT) is None


def test_a_file_that_is_replaced_by_another_is_read_again(file, tmp_path):
    tokens = TokenFile(file)
    other = tmp_path / "other"
    other.write_text(file.read_text().replace("team-a", "team-b"))
    os.utime(other, ns=(file.stat().st_mtime_ns,) * 2)
    other.replace(file)  # as long, and as old: as a mounted Secret changes
    assert tokens.grant_of_token(TOKEN).namespaces == {"team-b"}


def test_a_file_that_breaks_leaves_what_was_known_and_is_complained_of_once(file, caplog):
    tokens = TokenFile(file)
    _changed(file, f"{TOKEN}-another broken line of too many words\n")
    for _ in range(3):
        assert tokens.grant_of_token(TOKEN).namespaces == {"team-a"}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "tokens:1" in caplog.text
    assert TOKEN not in caplog.text
    file.unlink()
    assert tokens.grant_of_token(TOKEN).namespaces == {"team-a"}
    file.write_text(f"{TOKEN} team-c\n")
    assert tokens.grant_of_token(TOKEN).namespaces == {"team-c"}


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="REMORA_AGGREGATOR_TOKEN_FILE"):
        TokenFile(tmp_path / "none")
