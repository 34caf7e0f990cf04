"""Numbers with check digits: payment cards (Luhn) and bank accounts (IBAN, ISO 7064 mod 97-10)."""

import re
from collections.abc import Iterator
from typing import Final

from remora_sidecar.policy.redaction.spans import Detector, candidates, stands_alone

_REGISTRY: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 "
    "DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 "
    "HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 "
    "MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 "
    "RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 "
    "VA22 VG24 XK20 YE30"
)
"""Countries and lengths of their IBANs: the registry of SWIFT."""
_LENGTHS: Final = {entry[:2].encode(): int(entry[2:]) for entry in _REGISTRY.split()}

_IBAN_BEGIN: Final = r"\b((?i:[A-Z]{2})[0-9]{2}[ -]?[A-Za-z0-9])"
_LONGEST_WRITTEN: Final = 34 * 2
_BETWEEN: Final = b" -"


def _ibans(text: bytes) -> Iterator[tuple[int, int]]:
    """Find account numbers of a known country, of its length, whose check digits are right."""
    for start, _ in candidates(_IBAN_BEGIN, text):
        length = _LENGTHS.get(text[start : start + 2].upper())
        if length is not None and (end := _iban_end(text, start, length)):
            yield start, end


def _iban_end(text: bytes, start: int, length: int) -> int:
    """Return where an IBAN of this length ends; 0 if there is none."""
    plain = bytearray()
    for at in range(start, min(len(text), start + _LONGEST_WRITTEN)):
        letter = text[at : at + 1]
        if letter.isalnum():
            plain += letter
        elif letter not in _BETWEEN:
            return 0
        if len(plain) == length:
            is_one = stands_alone(text, start, at + 1) and _has_mod_97(bytes(plain.upper()))
            return at + 1 if is_one else 0
    return 0


def _has_mod_97(plain: bytes) -> bool:
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(chr(letter), 36)) for letter in moved)) % 97 == 1


_DIGIT_RUN: Final = r"([0-9](?:[ -]?[0-9]){12,})"
_GROUP: Final = re.compile(rb"[0-9]+")
_ISSUED: Final = re.compile(
    rb"4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|2(?:2[2-9]|[3-6][0-9]|7[01])[0-9]{13}|"
    rb"2720[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[689][0-9])[0-9]{11}(?:[0-9]{2})?|"
    rb"6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12}(?:[0-9]{3})?|35(?:2[89]|[3-8][0-9])[0-9]{12}|"
    rb"62[0-9]{14,17}|(?:5018|5020|5038|5893|6304|6759|676[1-3])[0-9]{8,15}"
)
"""Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro."""
_MOST_GROUPS: Final = 5
_MOST_DIGITS: Final = 19
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def _cards(text: bytes) -> Iterator[tuple[int, int]]:
    """Find card numbers, written in one or in groups, of an issuer and with right check digit."""
    for start, end in candidates(_DIGIT_RUN, text):
        if stands_alone(text, start, end):
            groups = [match.span() for match in _GROUP.finditer(text, start, end)]
            yield from _cards_of(text, groups)


def _cards_of(text: bytes, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(groups):
        last = _card_end(text, groups[first : first + _MOST_GROUPS])
        if last:
            yield groups[first][0], groups[first + last - 1][1]
        first += last or 1


def _card_end(text: bytes, groups: list[tuple[int, int]]) -> int:
    """Return how many of the groups make a card number; 0 if none do."""
    digits = b""
    for count, (start, end) in enumerate(groups, 1):
        digits += text[start:end]
        if len(digits) > _MOST_DIGITS:
            return 0
        if is_card(digits):
            return count
    return 0


def is_card(digits: bytes) -> bool:
    """Tell whether these digits are the number of a card."""
    return _ISSUED.fullmatch(digits) is not None and _has_luhn(digits)


def _has_luhn(digits: bytes) -> bool:
    values = [digit - 48 for digit in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


CARDS: Final = (Detector(r"[0-9](?:[ -]?[0-9]){5}", _cards),)
IBANS: Final = (Detector(r"[A-Za-z]{2}[0-9]{2}[ -]?[A-Za-z0-9]{4}", _ibans),)
