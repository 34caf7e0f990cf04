"""URLs without credentials, for everything that is stored, logged or traced."""

import re
from urllib.parse import unquote_plus

REDACTED = "REDACTED"
"""Stands where a credential stood, so that a reader sees that one was sent."""

_SECRET_NAMES = frozenset(
    {
        "access_key", "access_token", "api_key", "apikey", "auth", "authorization",
        "awsaccesskeyid", "bearer", "client_secret", "code", "credential", "id_token", "jwt",
        "key", "oauth_token", "passwd", "password", "refresh_token", "secret", "sig", "signature",
        "subscription_key", "token", "x_api_key",
    }
)  # fmt: skip
_SECRET_PREFIXES = ("x_amz_", "x_goog_")
_PARAMETER = re.compile(r"([^&;=]+)=([^&;]*)")
_USERINFO = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/?#]*@")


def is_credential_parameter(name: str) -> bool:
    """Tell whether a query parameter's name, as sent, says that its value is a credential."""
    # Google's APIs take their system parameters with a dollar in front as well.
    plain = unquote_plus(name).strip(" ?$").lower().replace("-", "_").replace(".", "_")
    return plain in _SECRET_NAMES or plain.startswith(_SECRET_PREFIXES)


def _without_value(match: re.Match[str]) -> str:
    name = match[1]
    return f"{name}={REDACTED}" if is_credential_parameter(name) else match[0]


def url_without_credentials(url: str) -> str:
    """Return the URL without userinfo, fragment and the values of credential parameters.

    Parameter names are compared without regard to case, percent-encoding and hyphens. All
    else stays as it was written.
    """
    if "#" in url:
        url = url.partition("#")[0]
    if "@" in url:
        url = _USERINFO.sub(lambda match: f"{match[1] or ''}//", url)
    if "?" not in url:
        return url
    base, _, query = url.partition("?")
    return f"{base}?{_PARAMETER.sub(_without_value, query)}"
