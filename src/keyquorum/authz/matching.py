# SPDX-License-Identifier: Apache-2.0
"""Text of policies against text of requests: wildcards, policy variables, and what "without case" means.

Nothing here backtracks: a match costs at most the value's length times the pattern's, whoever wrote either.
A variable's value is literal text: a wildcard in it matches itself, so that nobody widens a policy by what they put
into a tag, a session name or an encryption context.

Sources: IAM user guide, "IAM JSON policy elements: Resource", "Condition operators" and "Variables and tags".
"""

import re
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, NamedTuple

Matcher = Callable[[str], bool]

#: Condition keys that can have several values. They cannot be policy variables.
MULTIVALUED: Final = frozenset(
    {
        "aws:principalservicenameslist",
        "aws:tagkeys",
        "kms:encryptioncontextkeys",
        "kms:grantoperations",
        "kms:resourcealiases",
    }
)


class Context(dict[str, tuple[str, ...] | None]):
    """Condition keys, folded by ``fold``, to their values. What is absent reads as None, as does what has no value."""

    def __missing__(self, key: str) -> tuple[str, ...] | None:
        return None


class Wild(Enum):
    MANY = "*"
    ONE = "?"


class Variable(NamedTuple):
    """``${key}`` or ``${key, 'default'}``; the key is folded."""

    key: str
    default: str | None


Token = str | Wild | Variable


def fold(text: str) -> str:
    """``text`` for comparison without case. No character that is not ASCII becomes one that is: U+212A is no ``k``."""
    if text.isascii():
        return text.lower()
    return "".join([low if len(low := c.lower()) == 1 and low.isascii() == c.isascii() else c for c in text])


# Each part stops at the next brace or quote, so that a text without an end is read once.
_VARIABLE: Final = re.compile(r"\$\{(?:([*?$])|([^{}',]+)(?:, ?'([^']*)')?)\}")


def tokens(text: str, *, variables: bool, wildcards: bool) -> tuple[Token, ...]:
    """``text`` in its parts. Under policy version 2008-10-17 ``variables`` is false, and ``${...}`` is plain text."""
    parts: list[Token] = []
    end = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        parts += _plain(text[end : found.start()], wildcards)
        end = found.end()
        parts.append(found[1] or Variable(fold(found[2].strip()), found[3]))
    return (*parts, *_plain(text[end:], wildcards))


def _plain(text: str, wildcards: bool) -> list[Token]:
    if not wildcards:
        return [text]
    return [Wild(part) if part in ("*", "?") else part for part in re.split(r"([*?])", text) if part]


def is_fixed(parts: Iterable[Token]) -> bool:
    """Whether no part is a variable."""
    return not any(isinstance(part, Variable) for part in parts)


def resolve(parts: Iterable[Token], context: Context) -> tuple[Token, ...] | None:
    """The parts with the values of their variables, or None where one has no value."""
    out: list[Token] = []
    for part in parts:
        if not isinstance(part, Variable):
            out.append(part)
            continue
        values = None if part.key in MULTIVALUED else context[part.key]
        value = values[0] if values and len(values) == 1 else part.default
        if value is None or (values and len(values) > 1):
            return None
        out.append(value)
    return tuple(out)


def literal(parts: Iterable[Token]) -> str:
    """The text of parts that are all text."""
    return "".join([part for part in parts if isinstance(part, str)])


def glob(parts: Iterable[Token]) -> Matcher:
    """A matcher for text and wildcards."""
    pieces: list[list[str | None]] = [[]]
    for part in parts:
        if part is Wild.MANY:
            pieces.append([])
        elif part is Wild.ONE:
            pieces[-1].append(None)
        else:
            assert isinstance(part, str), "variables are resolved first"
            pieces[-1].extend(part)
    if len(pieces) == 1:
        return _Piece(pieces[0]).equals
    head, *between, tail = map(_Piece, pieces)
    middle = [piece for piece in between if piece.length]
    if not middle and not tail.length:
        return head.starts
    least = sum(piece.length for piece in (head, tail, *middle))

    def match(value: str) -> bool:
        if len(value) < least or not head.starts(value) or not tail.at(value, len(value) - tail.length):
            return False
        position, stop = head.length, len(value) - tail.length
        # The first place of each piece leaves most to the next: no other needs to be tried.
        for piece in middle:
            position = piece.find(value, position, stop)
            if position < 0:
                return False
        return True

    return match


class _Piece:
    """What stands between two ``*``: characters, and None for ``?``.

    The regular expression for one with a ``?`` has no quantifier, so that it never backtracks further than its length;
    most are never asked, and it is made when it is.
    """

    __slots__ = ("_characters", "_pattern", "_text", "length")

    def __init__(self, characters: list[str | None]) -> None:
        self.length = len(characters)
        self._characters = characters
        self._text = None if None in characters else "".join(c for c in characters if c)
        self._pattern: re.Pattern[str] | None = None

    def equals(self, value: str) -> bool:
        return value == self._text if self._text is not None else len(value) == self.length and self.at(value, 0)

    def starts(self, value: str) -> bool:
        return value.startswith(self._text) if self._text is not None else self.at(value, 0)

    def at(self, value: str, position: int) -> bool:
        if self._text is not None:
            return value.startswith(self._text, position)
        return self._compiled().match(value, position) is not None

    def find(self, value: str, start: int, stop: int) -> int:
        """Where the first match within ``value[start:stop]`` ends, or -1."""
        if self._text is not None:
            found = value.find(self._text, start, stop)
            return found + self.length if found >= 0 else -1
        match = self._compiled().search(value, start, stop)
        return match.end() if match is not None else -1

    def _compiled(self) -> re.Pattern[str]:
        if self._pattern is None:
            self._pattern = re.compile(
                "".join(["." if c is None else re.escape(c) for c in self._characters]), re.DOTALL
            )
        return self._pattern
