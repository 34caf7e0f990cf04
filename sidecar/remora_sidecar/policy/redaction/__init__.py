"""What is taken out of prompts and answers before they are kept, and of every record."""

from remora_sidecar.policy.redaction.redactor import RedactionRules, Redactor
from remora_sidecar.policy.redaction.text import without_keys

__all__ = ["RedactionRules", "Redactor", "without_keys"]
