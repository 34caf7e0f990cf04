"""OpenTelemetry's GenAI client metrics, as Prometheus writes their names.

Counted for calls in a format that is read. Agents choose model names freely, so that a name
becomes a label only if a provider answered a call with it well, and only so many do.
"""

import re
from collections.abc import Iterable

from prometheus_client.core import HistogramMetricFamily, Metric

from remora.records import CallRecord
from remora.telemetry.genai_names import (
    DURATION_BOUNDS_S,
    TOKEN_BOUNDS,
    billable_tokens,
    error_type,
    provider_name,
    response_model,
)
from remora_sidecar.engine.chunk_times import ChunkTimes
from remora_sidecar.engine.spread import Spread

OTHER_MODEL = "other"
"""Label of models that got no good answer yet, or came when there were enough."""

MAX_MODELS = 100
MAX_SERIES = 500
"""Combinations of operation, provider and models; later ones count under `OTHER_MODEL`."""

_READABLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}")

_Labels = tuple[str, str, str, str]
_LABELS = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
)
_UNREAD_DIALECTS = frozenset({"", "unknown"})


class _Histograms:
    """Histograms of one family, by label values."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._by_labels: dict[tuple[str, ...], Spread] = {}

    def of(self, *labels: str) -> Spread:
        spread = self._by_labels.get(labels)
        if spread is None:
            spread = self._by_labels[labels] = Spread(self._bounds)
        return spread

    def family(self, name: str, text: str, labels: tuple[str, ...]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, spread in list(self._by_labels.items()):
            family.add_metric(values, spread.buckets(), spread.total)
        return family


def _names(record: CallRecord) -> _Labels:
    """What labels follow from, as the record says it."""
    return record.operation, record.provider, record.requested_model, record.response_model


class GenAIMetrics:
    """The four client metrics of the conventions."""

    def __init__(self) -> None:
        """Start at zero."""
        self._tokens = _Histograms(TOKEN_BOUNDS)
        self._duration = _Histograms(DURATION_BOUNDS_S)
        self._first_chunk = _Histograms(DURATION_BOUNDS_S)
        self._per_chunk = _Histograms(DURATION_BOUNDS_S)
        self._models: set[str] = set()
        self._series: set[_Labels] = set()
        self._settled: dict[_Labels, _Labels] = {}

    def count(self, record: CallRecord) -> None:
        """Count one call."""
        if record.dialect in _UNREAD_DIALECTS or record.opaque:
            return
        labels = self._settled.get(_names(record))
        if labels is None:
            self._learn_models(record)
            labels = self._labels(record)
        self._duration.of(*labels, error_type(record)).add(record.latency_s)
        if record.stream and record.ttft_s is not None:
            self._first_chunk.of(*labels).add(record.ttft_s)
        self._count_tokens(record, labels)

    def count_usage(self, record: CallRecord) -> None:
        """Count what a call that was counted before is known to have used now."""
        if record.dialect not in _UNREAD_DIALECTS and not record.opaque:
            self._count_tokens(record, self._labels(record))

    def _count_tokens(self, record: CallRecord, labels: _Labels) -> None:
        entered, written = billable_tokens(record)
        if entered is not None:
            self._tokens.of(*labels, "input").add(entered)
        if written is not None:
            self._tokens.of(*labels, "output").add(written)

    def count_chunks(self, record: CallRecord, times: ChunkTimes) -> None:
        """Count the chunks of a streamed answer."""
        gaps = times.gaps
        if record.stream and record.dialect not in _UNREAD_DIALECTS and gaps is not None:
            self._per_chunk.of(*self._labels(record)).merge(gaps)

    def _learn_models(self, record: CallRecord) -> None:
        if not 200 <= record.status_code < 300 or record.error is not None:
            return
        for model in (record.requested_model, record.response_model):
            if model in self._models or len(self._models) >= MAX_MODELS:
                continue
            if _READABLE_NAME.fullmatch(model):
                self._models.add(model)

    def _labels(self, record: CallRecord) -> _Labels:
        names = _names(record)
        if (settled := self._settled.get(names)) is not None:
            return settled
        provider = provider_name(record.provider)
        models = record.requested_model, response_model(record)
        requested, served = map(self._label_of, models)
        labels = (record.operation, provider, requested, served)
        if labels not in self._series:
            if len(self._series) >= MAX_SERIES:
                return record.operation, provider, OTHER_MODEL, OTHER_MODEL
            self._series.add(labels)
        if (requested, served) == models:  # known by their names now, and so for ever
            self._settled[names] = labels
        return labels

    def _label_of(self, model: str) -> str:
        return model if not model or model in self._models else OTHER_MODEL

    def collect(self) -> Iterable[Metric]:
        """Give Prometheus' families."""
        yield self._tokens.family(
            "gen_ai_client_token_usage",
            "Input and output tokens of calls, as they are charged.",
            (*_LABELS, "gen_ai_token_type"),
        )
        yield self._duration.family(
            "gen_ai_client_operation_duration_seconds",
            "From request head to the end of the answer.",
            (*_LABELS, "error_type"),
        )
        yield self._first_chunk.family(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "From request head to the first output of a streamed answer.",
            _LABELS,
        )
        yield self._per_chunk.family(
            "gen_ai_client_operation_time_per_output_chunk_seconds",
            "From each chunk of a streamed answer to the next.",
            _LABELS,
        )
