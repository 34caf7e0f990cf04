import os
from pathlib import Path

import pytest

from remora.testing.transcripts import Transcript, find_corpus, load_transcripts


@pytest.fixture(scope="session")
def chat_transcripts() -> list[Transcript]:
    folder = find_corpus(os.environ.get("REMORA_CORPUS", ""), Path(__file__).parents[3])
    if folder is None:
        pytest.skip("no recorded exchanges: set REMORA_CORPUS to their folder")
    return load_transcripts(folder, "openai-chat")
