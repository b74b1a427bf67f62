"""What a query parameter may look like, beyond its bounds."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def _digits_only(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a whole number, written in digits")
    return value


WholeNumber = Annotated[int, BeforeValidator(_digits_only)]
"""An integer in plain digits: ``1e3``, ``3.0``, ``1_000`` and padded ones are refused, not guessed at."""
