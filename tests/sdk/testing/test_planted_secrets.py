"""The search for planted secrets finds them however they are spelled."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.testing.planted_secrets import PlantedSecrets, contents_of

SECRET = 'sk-planted/"secret"+0001'
PLANTED = PlantedSecrets({"openai": SECRET, "aws": "another-secret-0002"})

SPELLED = {
    "as it is": SECRET,
    "in a URL": f"?key={quote(SECRET, safe='')}&a=b",
    "in JSON": json.dumps({"key": SECRET}),
    "in hex": SECRET.encode().hex(),
    "in base64": base64.b64encode(SECRET.encode()),
    "in basic": base64.b64encode(f"user:{SECRET}".encode()),
    "in a URL's base64": base64.urlsafe_b64encode(f"a{SECRET}b".encode()),
    "in bytes": b"\xff" + SECRET.encode() + b"\0",
}


@pytest.mark.parametrize("content", SPELLED.values(), ids=SPELLED)
def test_a_secret_is_found_in_every_spelling_and_not_quoted(content):
    assert PLANTED.found_in({"log": "nothing", "spool": content}) == ["openai in spool"]


def test_what_holds_none_is_clean():
    assert PLANTED.found_in({"log": SECRET[:-6], "spool": b"", "other": "\udcff"}) == []


def test_files_are_searched_wherever_they_lie(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text(SECRET)
    assert PLANTED.found_in(contents_of(tmp_path)) == [f"openai in {tmp_path}/a/b"]


def test_a_secret_that_stands_anywhere_by_chance_is_refused():
    with pytest.raises(ValueError, match="too short"):
        PlantedSecrets({"short": "sk-1"})


@given(st.binary(max_size=7), st.binary(max_size=7))
def test_base64_is_found_whatever_stands_around(before, after):
    content = base64.b64encode(before + SECRET.encode() + after)
    assert PLANTED.found_in({"x": content}) == ["openai in x"]
