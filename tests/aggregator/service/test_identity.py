import os

import pytest

from remora.errors import BadRequest, ConfigError
from remora_aggregator.service.identity import Anyone, TokenFile, parse_tokens

TOKEN = "a-token-that-is-long-enough"


def _as(token):
    return (("authorization", f"Bearer {token}"),)


def test_on_loopback_everybody_is_local():
    assert Anyone().namespace(()) == "local"


def test_a_token_names_its_namespace(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# ours\n\n{TOKEN} team-a  # comment\n")
    assert TokenFile(file).namespace(_as(TOKEN)) == "team-a"


@pytest.mark.parametrize(
    "metadata",
    [(), _as("wrong-but-long-enough"), (("authorization", TOKEN),), _as(""), _as("é")],
    ids=["none", "wrong", "no scheme", "empty", "not ascii"],
)
def test_any_other_token_is_refused(tmp_path, metadata):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN} team-a\n")
    with pytest.raises(BadRequest) as refusal:
        TokenFile(file).namespace(metadata)
    assert refusal.value.status == 401
    assert TOKEN not in str(refusal.value)


def test_a_changed_file_is_read_again(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN} team-a\n")
    tokens = TokenFile(file)
    file.write_text(f"{TOKEN} team-b\n")
    os.utime(file, ns=(1, 1))
    assert tokens.namespace(_as(TOKEN)) == "team-b"


def test_a_file_that_breaks_leaves_what_was_known(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN} team-a\n")
    tokens = TokenFile(file)
    file.write_text("broken\n")
    os.utime(file, ns=(1, 1))
    assert tokens.namespace(_as(TOKEN)) == "team-a"
    file.unlink()
    assert tokens.namespace(_as(TOKEN)) == "team-a"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no token"),
        ("# nothing\n", "holds no token"),
        ("only-one-word-on-this-line\n", "TOKEN NAMESPACE"),
        ("short ns\n", "shorter than 16"),
        (f"{TOKEN} a b\n", "TOKEN NAMESPACE"),
        (f"{TOKEN} a\n{TOKEN} b\n", "earlier line"),
    ],
    ids=["empty", "comments", "one word", "short", "three words", "two namespaces"],
)
def test_a_wrong_file_is_refused_by_line(text, problem):
    with pytest.raises(ConfigError, match=problem) as refusal:
        parse_tokens(text, "tokens")
    assert TOKEN not in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="REMORA_AGGREGATOR_TOKEN_FILE"):
        TokenFile(tmp_path / "none")
