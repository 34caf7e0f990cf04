"""Regular expressions of policies: RE2's, which takes time linear in the text it searches.

The library comes with the parts that redact or admit policies, and is loaded only where a
document has a regular expression.
"""


def regex_problem(regex: str) -> str:
    """Say why a regular expression can't be used; empty if it can."""
    try:
        import re2
    except ModuleNotFoundError:
        return "can't be checked without the RE2 library: install remora[sidecar]"
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(regex, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"is no regular expression in RE2's syntax: {text}"
    return ""
