"""What reaches people: e-mail addresses and phone numbers."""

import re
from typing import Final

from remora_sidecar.policy.redaction.spans import ESCAPED, Detector, finder, stands_alone

_EMAIL: Final = (
    rf"(?:{ESCAPED})?([\p{{L}}\p{{N}}._+'-]+(?:@|%40)(?:[\p{{L}}\p{{N}}-]+\.)+\p{{L}}{{2,24}})"
)
_FILE_ENDINGS: Final = (
    b".png", b".jpg", b".jpeg", b".gif", b".svg", b".webp", b".js", b".ts", b".css", b".json",
    b".html", b".service", b".timer", b".socket",
)  # fmt: skip
_AT: Final = re.compile(rb"@|%40")


def _is_mailbox(text: bytes, start: int, end: int) -> bool:
    """Not the account in a repository's address (``git@host:path``), nor a picture for screens."""
    value = text[start:end]
    local = _AT.split(value, maxsplit=1)[0]
    if local == b"git" or value.lower().endswith(_FILE_ENDINGS):
        return False
    return bool(local.strip(b".'-"))


EMAILS: Final = (Detector(r"@|%40", finder(_EMAIL, _is_mailbox)),)

_DIGITS: Final = re.compile(rb"[0-9]")
_AREA: Final = r"[2-9][0-9]{2}"
_NUMBER: Final = (
    r"(\+[1-9][0-9]{0,3}(?:[ .\-/]?\(?[0-9]{1,5}\)?){1,6}"
    r"|\b00[1-9][0-9]{0,2}[ \-/][0-9(][0-9 \-/()]{5,16}[0-9]"
    rf"|(?:\b1[ .-])?(?:\({_AREA}\) ?|\b{_AREA}[ .-])[0-9]{{3}}[ .-][0-9]{{4}}"  # North America
    r"|\(?0[1-9](?:[ .][0-9]{2}){4}"  # France
    r"|\(?0[1-9][0-9]{1,4}\)?[ /-][0-9]{3,8}(?:[ -][0-9]{2,6}){0,3})"  # a trunk prefix
)
_NUMBER_TRIGGER: Final = (
    r"\+[1-9][0-9 .()/-]{6}|\b00[1-9]|[0-9]{3}\)? ?[ ./-][0-9]{3}|\b0[1-9][ .][0-9]{2}[ .]"
)
_WORDS: Final = r"(?i:\b(?:tel|telephone|telefon|phone|mobile|handy|cell|fax|whatsapp)\b)"
_AFTER_WORD: Final = rf"{_WORDS}[^0-9+(\n]{{0,16}}([+(]?[0-9][0-9 ()./\-]{{5,18}}[0-9])"


def _is_number(text: bytes, start: int, end: int) -> bool:
    """Digits enough, and none more around; no date, version or id."""
    value = text[start:end]
    count = len(_DIGITS.findall(value))
    if not stands_alone(text, start, end):
        return False
    if value.startswith((b"+", b"00")):
        return 8 <= count <= 15
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return 9 <= count <= 13 and b"-" not in around and b"/" not in around


def _is_said(text: bytes, start: int, end: int) -> bool:
    count = len(_DIGITS.findall(text, start, end))
    return 7 <= count <= 15 and stands_alone(text, start, end)


PHONES: Final = (
    Detector(_NUMBER_TRIGGER, finder(_NUMBER, _is_number)),
    Detector(rf"{_WORDS}[^0-9\n]{{0,16}}[0-9]", finder(_AFTER_WORD, _is_said)),
)
