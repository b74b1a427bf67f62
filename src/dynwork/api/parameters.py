"""What a query parameter may look like, beyond its bounds."""

import re

from pydantic import BeforeValidator

_DIGITS = re.compile(r"-?[0-9]+", re.ASCII)


def _digits_only(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a whole number, written in digits")
    return value


WHOLE_NUMBER = BeforeValidator(_digits_only)
"""Makes an ``int`` one in plain digits: ``1e3``, ``3.0``, ``1_000`` and padded ones are refused, not guessed at.

It stands after the bounds, as in ``Annotated[int, Query(ge=0), WHOLE_NUMBER]``: before them it would hide them from the
OpenAPI document.
"""
