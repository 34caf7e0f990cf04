"""Policy files read into documents, with every problem of every file at once.

Pure: takes texts by file name. `remora.policy.files` reads them from disk.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from remora.errors import ConfigError, Problem
from remora.policy.consistency import inconsistencies, kept_names
from remora.policy.problems import explain, nearest
from remora.policy.spec import (
    API_VERSION,
    KINDS,
    ClusterLLMPolicy,
    Document,
    LLMPolicy,
    LLMProvider,
)
from remora.policy.support import not_yet_supported
from remora.policy.warnings import warnings
from remora.policy.yaml_source import SourceDocument, read_documents


@dataclass(frozen=True)
class PolicyDocuments:
    """Documents that are valid, each and together.

    Attributes:
        warnings: What may stand, but was hardly meant, and where.
    """

    policies: tuple[LLMPolicy, ...] = ()
    cluster_policies: tuple[ClusterLLMPolicy, ...] = ()
    providers: tuple[LLMProvider, ...] = ()
    warnings: tuple[Problem, ...] = ()


def load_documents(files: Mapping[str, str]) -> PolicyDocuments:
    """Read and check policy files.

    Args:
        files: The text of each file, by its name.

    Raises:
        ConfigError: Something is wrong; it holds every problem of every file.
    """
    problems: list[Problem] = []
    sources: list[SourceDocument] = []
    for file, text in files.items():
        found, unreadable = read_documents(file, text)
        sources.extend(found)
        problems.extend(unreadable)
    return checked_documents(sources, problems)


def checked_documents(
    sources: Iterable[SourceDocument], problems: Sequence[Problem] = (), *, merged: bool = False
) -> PolicyDocuments:
    """Check documents that were read, each by itself and all together.

    Args:
        sources: The documents.
        problems: What is wrong with others of them, that could not be read.
        merged: Floors are merged into them already.

    Raises:
        ConfigError: Something is wrong; it holds every problem.
    """
    problems = list(problems)
    read: list[tuple[SourceDocument, Document]] = []
    named: set[str] = set()
    for source in sources:
        document, wrong = _document(source)
        problems.extend(wrong)
        named.update(_provider_name(source.value))
        if document is not None:
            read.append((source, document))
    problems.extend(inconsistencies(read, named))
    problems.extend(() if merged else kept_names(read))
    if problems:
        raise ConfigError(problems)
    documents = [document for _, document in read]
    return PolicyDocuments(
        policies=_of_kind(documents, LLMPolicy),
        cluster_policies=_of_kind(documents, ClusterLLMPolicy),
        providers=_of_kind(documents, LLMProvider),
        warnings=tuple(warnings(read)),
    )


def _of_kind[D: Document](documents: list[Document], kind: type[D]) -> tuple[D, ...]:
    return tuple(document for document in documents if isinstance(document, kind))


def _document(source: SourceDocument) -> tuple[Document | None, list[Problem]]:
    """Read one document; it is returned even with problems, if it is well-formed."""
    value = source.value
    if not isinstance(value, dict):
        return None, [Problem(source.where(), "a document should be a mapping of fields")]
    unfit = list(_unfit_header(source, value))
    if unfit:
        return None, unfit
    kind = value["kind"]
    unsupported = [
        Problem(source.where(path), what) for path, what in not_yet_supported(kind, value)
    ]
    try:
        return KINDS[kind].model_validate(value), unsupported
    except ValidationError as error:
        found = explain(KINDS[kind], error)
        return None, unsupported + [Problem(source.where(path), what) for path, what in found]


def _provider_name(value: object) -> Iterator[str]:
    """Name a provider even if the rest of its document is wrong, so that its users are not."""
    match value:
        case {"kind": "LLMProvider", "metadata": {"name": str(name)}}:
            yield name
        case _:
            return


def _unfit_header(source: SourceDocument, value: Mapping[str, object]) -> Iterator[Problem]:
    if value.get("apiVersion") != API_VERSION:
        yield Problem(source.where(("apiVersion",)), f"should be {API_VERSION}")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        hint = nearest(kind if isinstance(kind, str) else "", list(KINDS))
        yield Problem(source.where(("kind",)), f"not a kind of policy document{hint}")
