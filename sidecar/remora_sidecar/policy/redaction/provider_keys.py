"""Keys of model providers and bearer tokens: by their form, else by the words before them.

The forms are those that providers document and that scanners such as gitleaks look for; lengths
are lower bounds, since a maker may lengthen its keys and a key may be cut.
"""

import re
from functools import lru_cache
from typing import Final

from remora_sidecar.policy.redaction.spans import BEFORE, Detector, finder, is_mixed

SEPARATOR: Final = r"""[\\"'`]{0,3}\s{0,3}(?:=>|:=|[:=]|%3[AaDd])\s{0,3}[\\"'`]{0,3}"""
"""Between a name and its value in code, JSON (also JSON in JSON), YAML, a shell or a URL."""

NAME_TRIGGER: Final = r"""(?i:key|token|secret)[\\"'`\s]{0,6}(?:[:=]|%3[AaDd])"""

_SK: Final = rf"{BEFORE}(sk-[A-Za-z0-9_*-]{{16,}})"
_SURELY_SK: Final = (b"sk-ant-", b"sk-proj-", b"sk-or-", b"sk-svcacct-", b"sk-admin-")
_DIGIT: Final = re.compile(rb"[0-9]")


def _is_sk_key(text: bytes, start: int, end: int) -> bool:
    """Names such as ``sk-toggleable__label-arrow`` begin like keys and are none."""
    value = text[start:end]
    return value.startswith(_SURELY_SK) or b"**" in value or _DIGIT.search(value) is not None


_OTHERS_BEGIN: Final = (
    r"AIza|AQ\.Ab|gsk_|xai-|hf_|api_org_|pplx-|r8_|nvapi-|fw_|csk-|tgp_v1_|tvly-|jina_|pa-|lsv2_|"
    r"k-lf-|e2b_|ABSK|bedrock-api-key-"
)
_OTHERS: Final = (
    r"AIza[0-9A-Za-z_-]{30,}",  # Google
    r"AQ\.Ab[0-9A-Za-z_-]{30,}",  # Google, bound to a service account
    r"gsk_[A-Za-z0-9]{20,}",  # Groq
    r"xai-[A-Za-z0-9]{32,}",
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"api_org_[A-Za-z0-9]{30,}",
    r"pplx-[A-Za-z0-9]{32,}",  # Perplexity
    r"r8_[A-Za-z0-9]{32,}",  # Replicate
    r"nvapi-[A-Za-z0-9_-]{40,}",
    r"fw_[A-Za-z0-9]{20,}",  # Fireworks
    r"csk-[A-Za-z0-9]{32,}",  # Cerebras
    r"tgp_v1_[A-Za-z0-9_-]{30,}",  # Together
    r"tvly-[A-Za-z0-9-]{20,}",  # Tavily
    r"jina_[A-Za-z0-9]{40,}",
    r"pa-[A-Za-z0-9_-]{40,}",  # Voyage
    r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}",  # LangSmith
    r"[ps]k-lf-[a-f0-9-]{32,}",  # Langfuse
    r"e2b_[a-f0-9]{32,}",
    r"ABSK[A-Za-z0-9+/]{60,}={0,2}",  # Amazon Bedrock
    r"bedrock-api-key-[A-Za-z0-9+/]{40,}={0,2}",
)

_NAMES: Final = (
    r"(?i:api[ _-]?key|subscription[_-]?key|access[_-]?key|auth[_-]?key|secret[_-]?key|"
    r"(?:access|auth|refresh|id|session|security|api)[_-]?token|client[_-]?secret)"
)

PROVIDER_KEYS: Final = (
    Detector(r"sk-", finder(_SK, _is_sk_key)),
    Detector(_OTHERS_BEGIN, finder(rf"{BEFORE}({'|'.join(_OTHERS)})")),
    # Azure, Mistral, Cohere and others give keys that nothing but their name tells from an id.
    Detector(NAME_TRIGGER, finder(rf"{_NAMES}{SEPARATOR}([A-Za-z0-9_.~+/=-]{{16,}})", is_mixed)),
)

_JWT: Final = rf"{BEFORE}(eyJ[A-Za-z0-9_-]{{10,}}(?:\.[A-Za-z0-9_-]*){{2,4}})"
_BEARER: Final = r"(?i:bearer)(?:\s|%20|\+){1,4}([A-Za-z0-9._~+/=-]{16,})"
_AUTHORIZATION: Final = (
    rf"(?i:authorization){SEPARATOR}(?i:(?:basic|bearer|token|apikey|key)\s{{1,4}})?"
    r"([A-Za-z0-9._~+/=-]{8,})"
)

BEARER_TOKENS: Final = (
    Detector(r"eyJ", finder(_JWT)),
    Detector(r"(?i:bearer)(?:[\s+]|%20)", finder(_BEARER, is_mixed)),
    Detector(r"(?i:authorization)", finder(_AUTHORIZATION)),
)

_SECRET_NAME: Final = re.compile(
    rf"(?:{_NAMES}|(?i:aws[_-]?secret|secret[_-]?access[_-]?key|authorization))\Z"
)


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Tell whether a member of this name holds a secret, whatever it looks like."""
    return _SECRET_NAME.search(name) is not None
