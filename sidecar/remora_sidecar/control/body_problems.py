"""What is wrong with a control call's body, as one line. Pure."""

from pydantic import ValidationError


def problems_in(error: ValidationError) -> str:
    """List each field with what is wrong with it, and never what stood there."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )
