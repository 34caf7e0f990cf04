"""Requests that look like calls to an LLM by their path alone, whatever their host. Pure."""

import re

_PATHS = re.compile(
    r"/chat/completions/?$|/v1/completions/?$|/v1/responses/?$|/v1/messages/?$|/embeddings/?$"
    r"|:(?:streamG|g)enerateContent$|:(?:embedContent|batchEmbedContents)$|/model/[^/]+/(?:converse|invoke)"
    r"|/api/(?:chat|generate|embed)$|/v[12]/chat/?$|/openai/deployments/"
)


def is_likely_call(method: str, path: str) -> bool:
    """Tell whether a request's method and path, its query aside, are those of an LLM's API."""
    return method.upper() == "POST" and _PATHS.search(path.partition("?")[0]) is not None
