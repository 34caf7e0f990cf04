"""Keys of policy's credentials: where they are found, how they change, that nobody sees them."""

import copy
import dataclasses
import json
import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.policy.limits import Credential, SecretRef
from remora.providers import Provider, ProviderRegistry
from remora.testing.clock import ManualClock
from remora_sidecar.cache.key import CacheKeyParts, cache_key, may_be_shared
from remora_sidecar.engine.keys import Key, KeyMissing, Keys
from remora_sidecar.engine.secret_file import MAX_SECRET_BYTES
from remora_sidecar.engine.signing import AwsKey
from remora_sidecar.model.secret_text import SecretText
from remora_sidecar.policy.key_carriers import with_fingerprint

OPENAI = "sk-nobody-may-read-this-0001"
OTHER = "sk-nobody-may-read-this-0002"
AWS_SECRET = "wJalrXUtnFEMI/nobody/may/read/this"


def _known(name: str) -> Provider:
    provider = ProviderRegistry.builtin().get(name)
    assert provider is not None
    return provider


def _credential(name="openai", key="api-key", provider="openai"):
    secret = {"name": name, "key": key}
    return Credential.model_validate({"provider": provider, "secretRef": secret})


def _mount(folder: Path, key: str, content: str | bytes) -> None:
    """Put a key where a Secret is mounted, by the swap of a symlink as the kubelet does."""
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / f"..{len(list(folder.iterdir()))}"
    version.mkdir()
    (version / key).write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "..new").symlink_to(version.name)
    (folder / "..new").rename(folder / "..data")
    if not (folder / key).is_symlink():
        (folder / key).symlink_to(f"..data/{key}")


class Looked:
    """Keys in a folder of the test's own, under a clock that the test moves."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None) -> None:
        """Take the folder; nothing is in it yet."""
        self.folder = folder
        self.clock = ManualClock()
        self.keys = Keys(folder, environ or {}, self.clock)

    def text(self, credential=None, provider="openai") -> str:
        found = self.keys.find(credential or _credential(), _known(provider))
        assert isinstance(found, Key), found
        return found.text.reveal()

    def problem(self, credential=None, provider="openai") -> str:
        found = self.keys.find(credential or _credential(), _known(provider))
        assert isinstance(found, KeyMissing)
        return found.reason


@pytest.fixture
def looked(tmp_path):
    return Looked(tmp_path)


@pytest.mark.parametrize("content", [OPENAI, f"{OPENAI}\n", f"\ufeff {OPENAI}\r\n\n"], ids=repr)
def test_a_key_is_what_its_file_holds_without_the_space_around(looked, content):
    _mount(looked.folder / "openai", "api-key", content)
    assert looked.text() == OPENAI


@pytest.mark.parametrize(
    ("name", "key", "variable"),
    [
        ("openai", "api-key", "OPENAI_API_KEY"),
        ("team-a.openai", "key", "TEAM_A_OPENAI_KEY"),
        ("x9", "Api.Key_2", "X9_API_KEY_2"),
    ],
)
def test_a_variable_counts_where_there_is_no_file(tmp_path, name, key, variable):
    looked = Looked(tmp_path, {variable: OPENAI})
    assert looked.text(_credential(name, key)) == OPENAI
    _mount(tmp_path / name, key, OTHER)
    looked.clock.advance(1)
    assert looked.text(_credential(name, key)) == OTHER


@pytest.mark.parametrize(
    ("name", "key", "variable"),
    [("remora", "cache-url", "REMORA_CACHE_URL"), ("otel", "headers", "OTEL_HEADERS")],
)
def test_a_setting_of_the_sidecar_is_nobodys_key(tmp_path, name, key, variable):
    looked = Looked(tmp_path, {variable: OPENAI})
    assert looked.problem(_credential(name, key)).endswith("mount the Secret")


def test_a_missing_key_is_said_with_where_it_was_looked_for(looked):
    assert looked.problem() == (
        f"no key for 'openai': there is no file {looked.folder}/openai/api-key and no variable "
        "OPENAI_API_KEY; mount the Secret or set the variable"
    )


def test_a_swapped_secret_is_read_again_a_second_later_and_not_before(looked):
    _mount(looked.folder / "openai", "api-key", OPENAI)
    assert looked.text() == OPENAI
    _mount(looked.folder / "openai", "api-key", OTHER)
    looked.clock.advance(0.99)
    assert looked.text() == OPENAI
    looked.clock.advance(0.01)
    assert looked.text() == OTHER


def test_a_file_that_is_written_in_place_is_read_again(looked):
    folder = looked.folder / "openai"
    folder.mkdir()
    for content in (OPENAI, OTHER + "\n"):
        (folder / "api-key").write_text(content)
        looked.clock.advance(1)
        assert looked.text() == content.strip()


def test_a_secret_that_was_taken_away_is_used_no_longer(looked):
    _mount(looked.folder / "openai", "api-key", OPENAI)
    assert looked.text() == OPENAI
    (looked.folder / "openai" / "api-key").unlink()
    looked.clock.advance(1)
    assert "there is no file" in looked.problem()


def test_a_key_that_comes_late_is_found(looked):
    assert "there is no file" in looked.problem()
    _mount(looked.folder / "openai", "api-key", OPENAI)
    looked.clock.advance(1)
    assert looked.text() == OPENAI


def test_a_file_that_did_not_change_is_not_read_again(looked):
    _mount(looked.folder / "openai", "api-key", OPENAI)
    first = looked.keys.find(_credential(), _known("openai"))
    looked.clock.advance(60)
    assert looked.keys.find(_credential(), _known("openai")) is first


UNUSABLE = {
    "empty": (b" \n", "is empty"),
    "two lines": (f"{OPENAI}\n{OTHER}".encode(), "is not one word"),
    "two words": (f"Bearer {OPENAI}".encode(), "is not one word"),
    "a field's end": (f"{OPENAI}\r\nX-Evil: 1".encode(), "is not one word"),
    "a null": (f"{OPENAI}\0".encode(), "is not one word"),
    "not ASCII": (f"{OPENAI}\u00e4".encode(), "is not one word"),
    "not text": (OPENAI.encode() + b"\xff", "is no text"),
    "too large": (OPENAI.encode() * (MAX_SECRET_BYTES // 20), "is larger than 65536 bytes"),
}


@pytest.mark.parametrize(("content", "problem"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_can_not_be_a_key_is_refused_without_a_word_of_it(looked, content, problem):
    _mount(looked.folder / "openai", "api-key", content)
    said = looked.problem()
    assert said.startswith("the key for 'openai' can't be used: ")
    assert problem in said
    assert OPENAI not in said


def test_a_value_of_a_variable_that_is_no_key_is_named_and_not_quoted(tmp_path):
    looked = Looked(tmp_path, {"OPENAI_API_KEY": f"{OPENAI} x"})
    assert "the variable OPENAI_API_KEY is not one word" in looked.problem()
    assert OPENAI not in looked.problem()


def test_what_is_no_file_is_refused_and_not_waited_for(looked):
    (looked.folder / "openai").mkdir()
    os.mkfifo(looked.folder / "openai" / "api-key")
    assert "is no file" in looked.problem()
    (looked.folder / "openai" / "folder").mkdir()
    assert "can't be used" in looked.problem(_credential(key="folder"))


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    looked = Looked(tmp_path / "secrets")
    (tmp_path / "elsewhere").write_text(OPENAI)
    (tmp_path / "secrets" / "openai").mkdir(parents=True)
    (tmp_path / "secrets" / "openai" / "api-key").symlink_to(tmp_path / "elsewhere")
    assert "leads out of" in looked.problem()


def test_links_in_a_circle_are_refused(looked):
    (looked.folder / "openai").mkdir()
    (looked.folder / "openai" / "api-key").symlink_to("api-key")
    assert "can't be read" in looked.problem()


PATHS = [
    "..",
    ".",
    "../openai/api-key",
    "/etc/passwd",
    "..data",
    "a/b",
    "a\\..\\b",
    "a\0b",
    "",
    "~",
]


@pytest.mark.parametrize("path", PATHS, ids=repr)
@pytest.mark.parametrize("field", ["name", "key"])
def test_a_name_is_never_a_path_even_where_nothing_checked_it_before(looked, path, field):
    names = {"name": "openai", "key": "api-key", field: path}
    unchecked = Credential.model_construct(
        provider="openai", secret_ref=SecretRef.model_construct(**names)
    )
    assert "not a path" in looked.problem(unchecked)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_names_raise_or_lead_out(tmp_path_factory, name, key):
    folder = tmp_path_factory.getbasetemp()
    ref = SecretRef.model_construct(name=name, key=key)
    credential = Credential.model_construct(provider="openai", secret_ref=ref)
    found = Keys(folder / "none", {}, ManualClock()).find(credential, _known("openai"))
    assert isinstance(found, KeyMissing)


INI = f"""[other]
region = eu-west-1
[default]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = {AWS_SECRET}
"""


def test_aws_credentials_sign_and_one_word_is_sent(looked):
    _mount(looked.folder / "aws", "credentials", INI)
    _mount(looked.folder / "bedrock", "token", "bedrock-api-key-1")
    signs = looked.keys.find(
        _credential("aws", "credentials", "aws-bedrock"), _known("aws-bedrock")
    )
    sent = looked.keys.find(_credential("bedrock", "token", "aws-bedrock"), _known("aws-bedrock"))
    assert isinstance(signs, Key)
    assert isinstance(sent, Key)
    assert signs.aws is not None
    assert signs.aws.secret_access_key == SecretText(AWS_SECRET)
    assert sent.aws is None


def test_aws_credentials_are_no_key_of_a_provider_that_takes_one_word(looked):
    _mount(looked.folder / "aws", "credentials", INI)
    assert "not one word" in looked.problem(_credential("aws", "credentials"))


def _shown(key: Key) -> list[str]:
    """Write a key in every way in which something that goes wrong, or is careless, would."""
    holder = {"key": key, "aws": key.aws, "text": key.text}
    try:
        raise ValueError(key, key.text)
    except ValueError as error:
        trace = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    record = logging.LogRecord("x", 10, "x", 1, "%s %r", (key, key.text), None)
    return [
        repr(holder), str(key), f"{key}", f"{key.text}", f"{key.text!s:>40}", f"{key.text}",
        trace, record.getMessage(), repr(dataclasses.asdict(key)), repr(dataclasses.astuple(key)),
        repr(dataclasses.replace(key)), repr(copy.copy(key)), repr(copy.deepcopy(key)),
        repr([getattr(key, name) for name in dir(key)]),
        json.dumps(dataclasses.asdict(key), default=str), key.fingerprint(b"salt" * 8),
    ]  # fmt: skip


def test_a_key_is_shown_nowhere(looked):
    _mount(looked.folder / "openai", "api-key", OPENAI)
    _mount(looked.folder / "aws", "credentials", INI)
    found = [
        looked.keys.find(_credential(), _known("openai")),
        looked.keys.find(_credential("aws", "credentials", "aws-bedrock"), _known("aws-bedrock")),
    ]
    for key in found:
        assert isinstance(key, Key)
        for shown in _shown(key):
            assert OPENAI not in shown
            assert AWS_SECRET not in shown
            assert "AKIDEXAMPLE" not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_is_never_serialized(protocol):
    for value in (SecretText(OPENAI), Key("openai", SecretText(OPENAI))):
        with pytest.raises(TypeError, match="never serialized"):
            pickle.dumps(value, protocol)
    with pytest.raises(TypeError):
        json.dumps(SecretText(OPENAI))
    with pytest.raises(TypeError):
        hash(SecretText(OPENAI))


def test_keys_are_the_same_by_their_text_and_so_are_fingerprints_of_one_salt():
    one, same, other = (Key("openai", SecretText(text)) for text in (OPENAI, OPENAI, OTHER))
    assert one == same != other
    assert one.fingerprint(b"a" * 32) == same.fingerprint(b"a" * 32)
    assert (
        len({one.fingerprint(b"a" * 32), one.fingerprint(b"b" * 32), other.fingerprint(b"a" * 32)})
        == 3
    )
    assert SecretText(OPENAI) != OPENAI


def _cache_key(key: Key, agents: bytes) -> str:
    headers = [(b"Host", b"api.openai.com"), (b"Authorization", agents)]
    sent = with_fingerprint(headers, "/v1/chat/completions?key=x", key.fingerprint(b"s" * 32))
    path, _, query = sent.target.partition("?")
    return cache_key(
        CacheKeyParts(
            namespace="n", provider="openai", authority="api.openai.com", method="POST", path=path,
            query=query, dialect="openai-chat", sent_model="m", stream=False,
            headers=sent.headers, body=b"{}", secret=b"t" * 32,
        )
    )  # fmt: skip


def test_a_cache_key_covers_the_key_that_is_sent_and_not_the_agents():
    one, other = Key("openai", SecretText(OPENAI)), Key("openai", SecretText(OTHER))
    assert _cache_key(one, b"Bearer dummy") == _cache_key(one, b"Bearer another")
    assert _cache_key(one, b"Bearer dummy") != _cache_key(other, b"Bearer dummy")
    signing = Key("openai", SecretText(INI), AwsKey(SecretText("AKID"), SecretText(AWS_SECRET)))
    signature = b"AWS4-HMAC-SHA256 Credential=AKID/20260101/r/bedrock/aws4_request, Signature=0"
    assert may_be_shared(_cache_key(signing, signature)), "policy proves the key that it signs with"


def test_no_more_looks_are_kept_than_policies_can_name_at_a_time(looked):
    for number in range(2000):
        looked.problem(_credential(f"secret-{number}"))
    assert len(looked.keys._looks) <= 256
