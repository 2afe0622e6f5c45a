# SPDX-License-Identifier: Apache-2.0
"""Where a statement stands in the text of its policy, so that it can be shown there. Values are read by the standard
library's decoder; this knows only what is between them (RFC 8259, section 2)."""

import re
from json import JSONDecoder
from typing import Final

_DECODER: Final = JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def place_of(document: str, index: int) -> tuple[int, int] | None:
    """The characters of statement ``index``, from 0; None if the text is no policy that has it."""
    try:
        at = _after(document, 0, "{")
        while document[at] != "}":
            name, at = _DECODER.raw_decode(document, at)
            at = _after(document, _spaces(document, at), ":")
            if name == "Statement":
                return _within(document, at, index)
            _, at = _DECODER.raw_decode(document, at)
            at = _past_comma(document, at)
    except (IndexError, ValueError, RecursionError):
        pass
    return None


def _within(document: str, at: int, index: int) -> tuple[int, int] | None:
    """The statements are a list, or one."""
    if document[at] != "[":
        _, end = _DECODER.raw_decode(document, at)
        return (at, end) if index == 0 else None
    at = _after(document, at, "[")
    number = 0
    while document[at] != "]":
        _, end = _DECODER.raw_decode(document, at)
        if number == index:
            return at, end
        number, at = number + 1, _past_comma(document, end)
    return None


def _spaces(document: str, at: int) -> int:
    found = _SPACE.match(document, at)
    return at if found is None else found.end()


def _after(document: str, at: int, mark: str) -> int:
    at = _spaces(document, at)
    if document[at] != mark:
        raise ValueError(f"no {mark} at {at}")
    return _spaces(document, at + 1)


def _past_comma(document: str, at: int) -> int:
    at = _spaces(document, at)
    return _spaces(document, at + 1) if document[at] == "," else at
