"""How many tokens the audio of a response is likely to be, for one whose usage never comes.

The model's speech is one token for each 50 ms (platform.openai.com/docs/guides/realtime-costs).
"""

from collections.abc import Mapping
from typing import Any, Final

from remora_sidecar.dialects.framing.json_values import count, member

_TOKENS_PER_S: Final = 20
_BYTES_PER_S: Final = {"g711": 8_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}
_PCM_RATE: Final = 24_000
_BYTES_PER_SAMPLE: Final = 2


def bytes_per_second(session: Mapping[str, Any]) -> int:
    """Read how much audio a second of the model's speech is; 24 kHz PCM if it is not said."""
    beta = session.get("output_audio_format")
    stated = member(member(member(session, "audio"), "output"), "format")
    kind = beta if type(beta) is str else stated.get("type")
    if type(kind) is str and (known := _BYTES_PER_S.get(kind.partition("_")[0])):
        return known
    return (count(stated.get("rate")) or _PCM_RATE) * _BYTES_PER_SAMPLE


class AudioMeter:
    """Adds up pieces of audio in base64; holds none of them."""

    def __init__(self, bytes_per_s: int) -> None:
        """Start at nothing."""
        self._bytes_per_s = bytes_per_s
        self._characters = 0

    def add(self, piece: str) -> None:
        """Take a piece."""
        self._characters += len(piece)

    @property
    def tokens(self) -> int:
        """The estimate so far."""
        return round(self._characters * 3 / 4 / self._bytes_per_s * _TOKENS_PER_S)
