"""Secrets that a test plants, and the search for them in all that a program left behind.

planted = PlantedSecrets({"openai": "sk-planted-0001"})
...  # calls that carry them
assert planted.found_in({"log": log, **contents_of(data_dir)}) == []
"""

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

MIN_CHARACTERS = 12
"""Shorter text stands somewhere by chance."""


class PlantedSecrets:
    """Secrets by name; found in whatever spelling a careless program gives them."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Take the secrets.

        Raises:
            ValueError: One is so short that it may stand somewhere by chance.
        """
        short = [name for name, secret in secrets.items() if len(secret) < MIN_CHARACTERS]
        if short:
            raise ValueError(f"too short to search for: {', '.join(short)}")
        self._spellings = {name: spellings(secret) for name, secret in secrets.items()}

    def found_in(self, places: Mapping[str, bytes | str]) -> list[str]:
        """Search places, given by name; says which secret stands where, and quotes none."""
        return [
            f"{name} in {place}"
            for place, content in places.items()
            for name, forms in self._spellings.items()
            if _holds(content, forms)
        ]


def spellings(secret: str) -> frozenset[bytes]:
    """Return the forms in which a secret may stand: as it is, escaped, or in hex or base64."""
    plain = secret.encode()
    forms = {plain, plain[::-1], quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    forms |= {plain.hex().encode(), plain.hex().upper().encode(), *_in_base64(plain)}
    return frozenset(forms)


def contents_of(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder, by path."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _in_base64(plain: bytes) -> Iterator[bytes]:
    """Encode as it would look within other text: at each of three offsets, without the edges."""
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + plain)
        middle = whole[4 if offset else 0 : (offset + len(plain)) // 3 * 4]
        yield middle
        yield middle.translate(bytes.maketrans(b"+/", b"-_"))


def _holds(content: bytes | str, forms: Collection[bytes]) -> bool:
    text = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return any(form in text for form in forms)
