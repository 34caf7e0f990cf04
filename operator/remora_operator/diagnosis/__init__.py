"""The room of diagnosis: objects of a cluster in, and out comes why a pod was not injected.

Pure: whoever asks gathers an `Evidence`.
"""

from remora_operator.diagnosis.diagnose import Diagnosis, diagnose
from remora_operator.diagnosis.evidence import Evidence, Part
from remora_operator.diagnosis.finding import Finding, Weight

__all__ = ["Diagnosis", "Evidence", "Finding", "Part", "Weight", "diagnose"]
