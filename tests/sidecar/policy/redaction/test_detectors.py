"""What each detector finds in text as people and tools write it, and what it leaves alone."""

import random
import string

import pytest

from remora.policy.limits import Redaction
from remora_sidecar.policy.redaction.marks import Marks
from remora_sidecar.policy.redaction.text import DETECTORS, TextRules, rules_for_bodies

_ALNUM = (string.ascii_letters + string.digits) * 4


def _letters(count, start=7):
    """Letters and digits as keys have them; no key of anybody's."""
    return "".join(_ALNUM[(start + 11 * at) % 62] for at in range(count))


def _hex(count):
    return "".join("0123456789abcdef"[(3 + 7 * at) % 16] for at in range(count))


def redacted_by(kind, text):
    return TextRules({kind: DETECTORS[kind]}).redacted(text, Marks())


_AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

FOUND = {
    "provider-key": {
        "openai, old": (f"sk-{_letters(20)}T3BlbkFJ{_letters(20)}", ""),
        "openai, project": (f"sk-proj-{_letters(60)}_-{_letters(60, 3)}", ""),
        "openai, service account": (f"sk-svcacct-{_letters(100)}", ""),
        "openai, echoed half": ("sk-proj-********************abcd", ""),
        "anthropic": (f"sk-ant-api03-{_letters(60)}-_{_letters(31)}AA", ""),
        "openrouter": (f"sk-or-v1-{_hex(64)}", ""),
        "deepseek": (f"sk-{_hex(32)}", ""),
        "google": (f"AIzaSy{_letters(33)}", ""),
        "groq": (f"gsk_{_letters(52)}", ""),
        "xai": (f"xai-{_letters(80)}", ""),
        "hugging face": (f"hf_{_letters(34)}", ""),
        "perplexity": (f"pplx-{_letters(48)}", ""),
        "replicate": (f"r8_{_letters(37)}", ""),
        "nvidia": (f"nvapi-{_letters(64)}", ""),
        "fireworks": (f"fw_{_letters(22)}", ""),
        "cerebras": (f"csk-{_letters(48)}", ""),
        "bedrock": (f"ABSK{_letters(120)}=", ""),
        "azure, by its header": (_hex(32), "api-key: {}"),
        "azure, by its variable": (_letters(84), "export AZURE_OPENAI_API_KEY={}"),
        "mistral, by its variable": (_letters(32), "MISTRAL_API_KEY='{}'"),
        "cohere, in code": (_letters(40), 'co = cohere.Client(api_key="{}")'),
        "in JSON in JSON": (_hex(32), '{{\\"apiKey\\": \\"{}\\"}}'),
        "in a url": (_hex(32), "https://x.example/v1?api_key={}&n=1"),
        "behind a written-out line end": (f"sk-proj-{_letters(40)}", "key:\\n{}\\n"),
        "in YAML": (_hex(40), "client_secret: {}"),
    },
    "bearer-token": {
        "header": (_letters(40), "Authorization: Bearer {}"),
        "curl": (_letters(40), "curl -H 'authorization: bearer {}'"),
        "basic": ("dXNlcjpwYXNzd29yZA==", "Authorization: Basic {}"),
        "in a dict": (_letters(32), '{{"Authorization": "Bearer {}"}}'),
        "jwt": (f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{_letters(43)}", "token {}"),
    },
    "cloud-key": {
        "aws id": ("AKIAIOSFODNN7EXAMPLE", "aws_access_key_id = {}"),
        "aws session id": ("ASIAIOSFODNN7EXAMPLE", ""),
        "aws secret": (_AWS_SECRET, "aws_secret_access_key = {}"),
        "aws secret, camel": (_AWS_SECRET, '"secretAccessKey": "{}"'),
        "gcp token": (f"ya29.{_letters(60)}", ""),
        "gcp client secret": (f"GOCSPX-{_letters(28)}", ""),
        "github": (f"ghp_{_letters(36)}", ""),
        "github app": (f"ghs_{_letters(36)}", ""),
        "github, fine-grained": (f"github_pat_{_letters(22)}_{_letters(59)}", ""),
        "gitlab": (f"glpat-{_letters(20)}", ""),
        "slack bot": (f"xoxb-781236542736-2364535789652-{_letters(24)}", ""),
        "slack user": (f"xoxp-41684372915-1320496754-45609968301-{_hex(32)}", ""),
        "slack app": (f"xapp-1-A052FGTS2DL-5171572773297-{_hex(64)}", ""),
        "slack hook": (
            f"T00000000/B00000000/{_letters(24)}", "https://hooks.slack.com/services/{}",
        ),
        "npm": (f"npm_{_letters(36)}", ""),
        "stripe": (f"sk_live_{_letters(24)}", ""),
        "sendgrid": (f"SG.{_letters(22)}.{_letters(43)}", ""),
        "azure storage": (f"{_letters(86)}==", "AccountName=x;AccountKey={};EndpointSuffix=y"),
        "password in a url": ("hunter2!x", "postgres://app:{}@db.internal:5432/app"),
        "telegram": (f"123456789:AA{_letters(33)}", ""),
    },
    "private-key": {
        "rsa": (
            f"-----BEGIN RSA PRIVATE KEY-----\n{_letters(64)}\n{_letters(20)}==\n"
            "-----END RSA PRIVATE KEY-----",
            "here:\n{}\nthere",
        ),
        "pkcs8 with written-out line ends": (
            f"-----BEGIN PRIVATE KEY-----\\n{_letters(64)}\\n-----END PRIVATE KEY-----", "",
        ),
        "openssh": (
            f"-----BEGIN OPENSSH PRIVATE KEY-----\n{_letters(70)}\n"
            "-----END OPENSSH PRIVATE KEY-----",
            "",
        ),
        "without an end": (
            f"-----BEGIN EC PRIVATE KEY-----\n{_letters(64)}\n{_letters(9)}", "{}. Next",
        ),
        "age": (f"AGE-SECRET-KEY-1{_letters(58).upper()}", ""),
    },
    "email": {
        "plain": ("jane.doe+tag@example.co.uk", "Write to {}, please."),
        "in brackets": ("bob@example.com", "Bob <{}>"),
        "quoted in a url": ("bob%40example.com", "https://x.example/?user={}"),
        "letters of others": ("jürgen@müller.example", ""),
        "behind a written-out line end": ("bob@example.com", "hi\\n{}\\n"),
    },
    "phone": {
        "e.164": ("+14155552671", "call {} now"),
        "international": ("+49 30 1234567", ""),
        "international, brackets": ("+44 (20) 7946-0958", ""),
        "north america": ("(415) 555-2671", "phone {}"),
        "north america, dashes": ("415-555-2671", "reach me at {}."),
        "germany": ("030 12345678", ""),
        "germany, slash": ("0171/1234567", "Telefon: {}"),
        "united kingdom": ("020 7946 0958", ""),
        "france": ("06 12 34 56 78", ""),
        "after a word": ("555 2671 12", "tel: {}"),
        "double zero": ("0049 30 1234567", ""),
    },
    "iban": {
        "germany": ("DE89 3704 0044 0532 0130 00", "IBAN {} thanks"),
        "without spaces": ("GB29NWBK60161331926819", ""),
        "france": ("FR14 2004 1010 0505 0001 3M02 606", ""),
        "malta": ("MT84MALT011000012345MTLCAST001S", ""),
        "norway": ("NO93 8601 1117 947", "to {} AND then"),
        "small letters": ("de89370400440532013000", ""),
    },
    "credit-card": {
        "visa": ("4111 1111 1111 1111", "card {} exp 12/29"),
        "visa without spaces": ("4111111111111111", "pay {}."),
        "mastercard": ("5555-5555-5555-4444", ""),
        "mastercard, new": ("2223003122003222", ""),
        "amex": ("3782 822463 10005", ""),
        "discover": ("6011000990139424", ""),
        "behind another number": ("4111 1111 1111 1111", "order 12 {} 3"),
    },
    "ip-address": {
        "v4": ("203.0.113.7", "from {} to"),
        "v4 with a port": ("10.1.2.3", "{}:8080"),
        "v4 at a sentence's end": ("192.168.1.20", "It is {}."),
        "v6": ("2001:db8:85a3::8a2e:370:7334", ""),
        "v6, whole": ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", ""),
        "v6, link": ("fe80::1ff:fe23:4567:890a", ""),
        "v6 in brackets": ("2001:db8::1", "http://[{}]:80/"),
    },
}  # fmt: skip

LEFT = {
    "provider-key": [
        "task-management-for-everybody",
        "sk-toggleable__label-arrow",
        "the api key is missing",
        "api_key=os.environ['OPENAI_API_KEY']",
        "sk-",
        "hf_transfer is enabled",
        "max_tokens: 4096",
        "risk-assessment-of-2024-and-later",
    ],
    "bearer-token": [
        "Bearer authentication is required here",
        "the bearer of this ring",
        "eyJust kidding",
        "Authorization: none",
    ],
    "cloud-key": [
        "AKIA is how ids begin",
        "commit 8d3f2a1b4c5d6e7f8091a2b3c4d5e6f708192a3b",
        "https://example.com:8080/a@b",
        "ghp_short",
        "secret_access_key: see the vault",
    ],
    "private-key": [
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "write PRIVATE KEY on it",
    ],
    "email": [
        "git clone git@github.com:org/repo.git",
        "@app.route and @decorator",
        "icon@2x.png",
        "npm i react@18.2.0",
        "a @ b",
        "user@localhost",
    ],
    "phone": [
        "2024-01-02 10:30:45",
        "1700000000",
        "1700000000000",
        "version 10.15.7",
        "123e4567-e89b-12d3-a456-426614174000",
        "3.14159265358979",
        "0x7fff5fbff8c0",
        "100 200 300",
        "2023-2024",
        "ISBN 978-3-16-148410-0",
        "req_011CSHoEeqs5C35K2UUqR7Fy",
        "ports 8080-8090",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 01",
        "XX89370400440532013000",
        "GB29NWBK6016133192681",
        "ab12cd34ef56ab12cd34ef56",
    ],
    "credit-card": [
        "4111 1111 1111 1112",
        "1234567812345670",
        "1700000000000000000",
        "0.4111111111111111",
        "4111111111111111a",
        "chatcmpl-4111111111111111x",
    ],
    "ip-address": [
        "version 1.2.3.4",
        "v1.2.3.4",
        "numpy==1.26.4.1",
        "1.2.3.4.5",
        "256.1.1.1",
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - not listened on
        "::1",
        "std::vector",
        "10:30:45",
        "a::b",
        "face::add",
        "01.02.03.04",
        "aa:bb:cc:dd:ee:ff",
    ],
}


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        pytest.param(kind, value, form or "see {} there", id=f"{kind}: {name}")
        for kind, samples in FOUND.items()
        for name, (value, form) in samples.items()
    ],
)
def test_what_a_detector_is_for_is_taken_out_and_nothing_beside_it(kind, value, form):
    text = form.format(value)
    assert redacted_by(kind, text) == form.format(f"[redacted:{kind}]")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(kind, text, id=f"{kind}: {text[:40]}")
        for kind, texts in LEFT.items()
        for text in texts
    ],
)
def test_what_only_looks_alike_is_left(kind, text):
    assert redacted_by(kind, text) == text


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        pytest.param(kind, value, form or "see {} there", id=f"{kind}: {name}")
        for kind, samples in FOUND.items()
        for name, (value, form) in samples.items()
    ],
)
def test_all_detectors_together_leave_nothing_of_any_value(kind, value, form):
    redacted = rules_for_bodies(Redaction()).redacted(form.format(value), Marks())
    assert value not in redacted
    assert "[redacted:" in redacted


def test_prose_and_code_are_left_as_they_are():
    text = (
        "On 2024-05-06 at 12:30 we moved 1,234,567 rows (3.5 GB) to python 3.12.4.\n"
        "def f(x: int) -> dict[str, Any]: return {'id': 'chatcmpl-9XyZ', 'n': 1700000000}\n"
        "See https://docs.example.com/en/v2/guide#step-3 and RFC 9110 §6.5.1; sha256 "
        f"{_hex(64)}; uuid 123e4567-e89b-12d3-a456-426614174000.\n"
    )
    assert rules_for_bodies(Redaction()).redacted(text, Marks()) == text


def test_a_detector_that_is_skipped_finds_nothing():
    text = "203.0.113.7 wrote to bob@example.com"
    rules = rules_for_bodies(Redaction(skip=("ip-address",)))
    assert rules.redacted(text, Marks()) == "203.0.113.7 wrote to [redacted:email]"


def test_a_secret_behind_noise_of_every_kind_is_found():
    source = random.Random(7)  # noqa: S311 - test data
    letters = source.choices(" -./:@%0123456789abcdefkstAESXZé中", k=60_000)
    noise = "".join(letters)
    rules = rules_for_bodies(Redaction())
    for samples in FOUND.values():
        value, form = next(iter(samples.values()))
        said = (form or "see {} there").format(value)
        assert value not in rules.redacted(f"{noise}\n{said}", Marks())


def test_many_keys_without_an_end_take_time_linear_in_the_text():
    text = "-----BEGIN PRIVATE KEY-----" * 20_000
    assert "BEGIN" not in rules_for_bodies(Redaction()).redacted(text, Marks())
