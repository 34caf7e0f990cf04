"""Images and sounds of a message, by the URL that a workflow gives for each."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from remora_sidecar.workflows.question import SentMessage

_SOUND_FORMATS: Final = {
    "audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wave": "wav", "audio/x-wav": "wav",
    "audio/vnd.wave": "wav", "audio/x-flac": "flac", "audio/mp4": "m4a", "audio/x-m4a": "m4a",
}  # fmt: skip
"""Where a format is called otherwise than behind ``audio/``."""


class WordingError(ValueError):
    """A question that can't be put to a provider; says why, and quotes nothing of it."""


class Data(NamedTuple):
    """What a data URL holds (RFC 2397).

    Attributes:
        media_type: In lower case, without parameters.
        base64: The bytes.
    """

    media_type: str
    base64: str

    @property
    def sound_format(self) -> str:
        """What OpenAI's API calls the format of a sound."""
        return _SOUND_FORMATS.get(self.media_type, self.media_type.partition("/")[2])


def data_of(url: str) -> Data | None:
    """Read a data URL; None: it is another kind of URL.

    Raises:
        WordingError: It holds nothing.
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, payload = url[5:].partition(",")
    if not comma or not payload:
        raise WordingError("an attachment's data URL holds nothing")
    media_type, *parameters = head.split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        payload = base64.b64encode(unquote_to_bytes(payload)).decode()
    return Data(media_type.strip().lower() or "text/plain", payload)


def shown_by_user(messages: Sequence[SentMessage]) -> Iterator[SentMessage]:
    """Give messages with attachments at the user's next one: no API takes them elsewhere."""
    shown: tuple[tuple[str, str], ...] = ()
    for message in messages:
        shown += message.attachments
        if message.role == "user":
            yield replace(message, attachments=shown)
            shown = ()
        else:
            yield replace(message, attachments=())
