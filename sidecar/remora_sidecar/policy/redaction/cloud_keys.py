"""Keys of clouds, forges and services, and private keys.

The forms are those that their makers document and that scanners such as gitleaks look for.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from remora_sidecar.policy.redaction.provider_keys import NAME_TRIGGER, SEPARATOR
from remora_sidecar.policy.redaction.spans import BEFORE, Detector, finder, is_mixed

_BEGIN_WITH: Final = (
    r"AKIA|ASIA|ABIA|ACCA|ya29\.|GOCSPX-|1//0|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox|xapp-|npm_|"
    r"pypi-|[sr]k_(?:live|test|prod)|whsec_|SG\.|_v1_|dckr_|hv[bs]\.|dapi|lin_api_|ntn_|Q~|:AA"
)
_WITH_PREFIX: Final = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    r"ya29\.[A-Za-z0-9_-]{20,}",  # Google, OAuth
    r"GOCSPX-[A-Za-z0-9_-]{20,}",
    r"1//0[A-Za-z0-9_-]{40,}",
    r"gh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{40,}",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas|imt|ffct)-[A-Za-z0-9_.-]{20,}",  # GitLab
    r"xox[abeoprs](?:\.xox[bp])?-[0-9][A-Za-z0-9-]{10,}",  # Slack
    r"xapp-[0-9]-[A-Za-z0-9]+-[0-9]+-[A-Za-z0-9]+",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-AgE[A-Za-z0-9_-]{50,}",
    r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{24,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    r"do[opr]_v1_[a-f0-9]{64}",  # DigitalOcean
    r"dckr_[a-z]{3,4}_[A-Za-z0-9_-]{20,}",
    r"hv[bs]\.[A-Za-z0-9_-]{24,}",  # Vault
    r"dapi[0-9a-f]{32}",  # Databricks
    r"lin_api_[A-Za-z0-9]{30,}",
    r"ntn_[A-Za-z0-9]{40,}",  # Notion
    r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",  # Microsoft Entra
    r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}",  # Telegram
)
_AWS_NAMES: Final = r"(?i:aws[_-]?secret(?:[_-]?key)?|secret[_-]?access[_-]?key)"
_AWS_PAIR: Final = (
    r"(?:AKIA|ASIA)[A-Z0-9]{16}[^A-Za-z0-9][^+/]{0,60}?[\s,:;\"'=|]"
    r"([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|\z)"
)
_SLACK_HOOK: Final = (
    r"hooks\.slack\.com\\?/(?:services|workflows|triggers)\\?/([A-Za-z0-9+/_\\-]{20,})"
)
_AZURE: Final = r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})"
_AZURE_SIGNATURE: Final = r"\bsig=([A-Za-z0-9%+/]{30,})"
_IN_URL: Final = r"[a-z]:\\?/\\?/[^\s:/@\"'\[]{0,64}:([^\s@/\"'\[]{3,128})@"

CLOUD_KEYS: Final = (
    Detector(_BEGIN_WITH, finder(rf"{BEFORE}({'|'.join(_WITH_PREFIX)})")),
    Detector(NAME_TRIGGER, finder(rf"{_AWS_NAMES}{SEPARATOR}([A-Za-z0-9/+=]{{30,}})", is_mixed)),
    Detector(r"AKIA|ASIA", finder(_AWS_PAIR, is_mixed)),
    Detector(r"hooks\.slack\.com", finder(_SLACK_HOOK)),
    Detector(r"AccountKey=|SharedAccessKey=", finder(_AZURE)),
    Detector(r"sig=", finder(_AZURE_SIGNATURE, is_mixed)),
    Detector(r":\\?/\\?/[^\s/@]*@", finder(_IN_URL)),
)

_BEGIN: Final = re.compile(rb"-----BEGIN[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END: Final = re.compile(rb"-----END[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_INSIDE: Final = re.compile(rb"(?:[A-Za-z0-9+/=\s:,-]|\\+[nr])*+")
_MOST_PEM_BYTES: Final = 32 * 1024


def _pem_blocks(text: bytes) -> Iterator[tuple[int, int]]:
    """Find blocks with their end, and what looks like the inside of one whose end is missing."""
    begins = [match.start() for match in _BEGIN.finditer(text)]
    if not begins:
        return
    ends = (match.end() for match in _END.finditer(text))
    end = next(ends, 0)
    for start, following in pairwise((*begins, len(text))):
        while end and end < start:
            end = next(ends, 0)
        if end and end <= following and end - start <= _MOST_PEM_BYTES:
            yield start, end
        elif (inside := _PEM_INSIDE.match(text, start, following)) is not None:
            yield start, inside.end()


PRIVATE_KEYS: Final = (
    Detector(r"PRIVATE KEY", _pem_blocks),
    Detector(r"AGE-SECRET-KEY-1", finder(r"(AGE-SECRET-KEY-1[A-Z0-9]{40,})")),
)
