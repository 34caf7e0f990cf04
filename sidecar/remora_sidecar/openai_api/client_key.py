"""The key that a client sends: a session's, a provider's, or nobody's. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from remora.ids import DEFAULT_SESSION_ID
from remora_sidecar.engine.sessions import Session, Sessions
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.model.secret_text import SecretText

SESSION_PREFIX: Final = "sess_"

_ENDED: Final = (
    "the key is the id of a session that does not exist or has ended: open another with "
    "POST /v1/sessions"
)
_NOBODYS: Final = ("kr-", "kr_")
"""Keys of the broker whose clients are served: no provider takes them."""

_OWNERS: Final[Mapping[str, str]] = {
    "sk-ant-": "anthropic",
    "sk-or-": "openrouter",
    "sk-proj-": "openai",
    "sk-svcacct-": "openai",
    "sk-admin-": "openai",
    "gsk_": "groq",
    "AIza": "google",
    "xai-": "xai",
    "pplx-": "perplexity",
    "csk-": "cerebras",
    "nvapi-": "nvidia",
    "hf_": "huggingface",
    "fw_": "fireworks",
    "tgp_v1_": "together",
}
"""How keys begin that tell whose they are."""


@dataclass(frozen=True, slots=True)
class ClientKey:
    """Whose request it is, and what may be sent on.

    Attributes:
        session: That the request counts under.
        text: The client's own key for a provider; None: it sent none.
    """

    session: Session
    text: SecretText | None = field(default=None, repr=False)

    @property
    def owner(self) -> str:
        """Name the provider whose key it is; empty where that can't be told."""
        key = "" if self.text is None else self.text.reveal()
        return next((owner for begin, owner in _OWNERS.items() if key.startswith(begin)), "")

    def may_go_to(self, provider: str, *, was_named: bool) -> bool:
        """Tell whether the key may be sent to a provider.

        Args:
            provider: Its name.
            was_named: The client asked for a model of that provider's; a key that does not tell
                whose it is goes nowhere else.
        """
        if self.text is None:
            return False
        return self.owner == provider if self.owner else was_named


def is_word(key: str) -> bool:
    """Tell whether a text can be a key: visible characters of ASCII, and at least one."""
    return bool(key) and key.isascii() and key.isprintable() and " " not in key


def read_client_key(
    authorization: str, sessions: Sessions, session_field: str = ""
) -> ClientKey | Refusal:
    """Read the field that OpenAI's clients put their key in.

    Args:
        authorization: That field.
        sessions: Those that are open.
        session_field: A session that is named beside another key; one that is not open is
            passed over, as it is in calls of agents.
    """
    scheme, _, key = authorization.partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else ""
    if key.startswith(SESSION_PREFIX):
        session = sessions.get(key)
        if session is None or session.ended or session.is_own:
            return Refusal(401, "authentication_error", "UNKNOWN_SESSION", _ENDED)
        return ClientKey(session)
    nobodys = not is_word(key) or key == DEFAULT_SESSION_ID or key.startswith(_NOBODYS)
    named = sessions.get(session_field)
    is_open = named is not None and not named.ended and not named.is_own
    session = named if named is not None and is_open else sessions.default
    return ClientKey(session, None if nobodys else SecretText(key))
