"""How a question is worded for a provider: the call, its body, its fields. Pure."""

from remora_sidecar.workflow_runs.wording.attachments import WordingError
from remora_sidecar.workflow_runs.wording.request import Worded, surface_of, worded

__all__ = ["Worded", "WordingError", "surface_of", "worded"]
