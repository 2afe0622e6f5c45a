# SPDX-License-Identifier: Apache-2.0
"""Text of policies against text of requests: wildcards, policy variables, and what "without case" means.

Nothing here backtracks, and nothing takes long in one step: a match costs at most the value's length times the
pattern's, whoever wrote either, and far less than that in each call of the interpreter's own. What is compared besides
is bounded by ``Context.work``.
A variable's value is literal text: a wildcard in it matches itself, so that nobody widens a policy by what they put
into a tag, a session name or an encryption context.

Sources: IAM user guide, "IAM JSON policy elements: Resource", "Condition operators" and "Variables and tags".
"""

import re
from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from operator import methodcaller
from typing import Final, NamedTuple

from keyquorum.authz.work import UNBOUNDED, Work

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
    """Condition keys, folded by ``fold``, to their values. What is absent reads as None, as does what has no value.
    ``work`` is what the decision on them may cost."""

    __slots__ = ("work",)

    def __init__(self, work: Work = UNBOUNDED) -> None:
        self.work = work

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
    """``text`` for comparison without case, each character by itself. None that is not ASCII becomes one that is:
    U+212A is no ``k``."""
    if text.isascii():
        return text.lower()
    for character, instead in _BY_ITSELF:
        text = text.replace(character, instead)
    return text.lower()


_BY_ITSELF: Final = (("\ufdd0", "\ufdd00"), ("\u212a", "\ufdd01"), ("\u0130", "\ufdd02"), ("\u03a3", "\u03c3"))
"""Of what ``str.lower`` would make ASCII, or two characters, or at the end of a word another: what to compare instead.
U+FDD0, which is no character, stands before a digit and nothing else."""

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
        if len(value) > SHORT:
            context.work.spend(8 * len(value))
        out.append(value)
    return tuple(out)


SHORT: Final = 64
"""Characters of a value that cost little, whatever is done to them."""


def weight(parts: Iterable[Token]) -> int:
    """What it costs to look for them in a character of a value: quarters of a unit."""
    return 4 + sum([len(part) if isinstance(part, str) else 16 if part is Wild.ONE else 4 for part in parts])


def literal(parts: Iterable[Token]) -> str:
    """The text of parts that are all text."""
    return "".join([part for part in parts if isinstance(part, str)])


def glob(parts: Iterable[Token]) -> Matcher:
    """A matcher for text and wildcards."""
    pieces: list[list[Token]] = [[]]
    for part in parts:
        if part is Wild.MANY:
            pieces.append([])
        else:
            assert not isinstance(part, Variable), "variables are resolved first"
            pieces[-1].append(part)
    if len(pieces) == 1:
        return _Piece(pieces[0]).equals
    head, tail = _Piece(pieces[0]), _Piece(pieces[-1])
    middle = [piece for piece in map(_Piece, pieces[1:-1]) if piece.length]
    if not middle and not tail.length:
        return head.prefix()
    least = head.length + tail.length + sum([piece.length for piece in middle])

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
    """What stands between two ``*``: a text, or ``length`` characters of which ``runs`` are given, each with its place;
    the others are ``?``."""

    __slots__ = ("_runs", "_text", "length")

    def __init__(self, parts: Iterable[Token]) -> None:
        runs: list[tuple[int, str]] = []
        length = 0
        for part in parts:
            if isinstance(part, str):
                runs.append((length, part))
                length += len(part)
            else:
                length += 1
        text = "".join([run for _, run in runs])
        self.length = length
        self._text = text if len(text) == length else None
        self._runs = runs

    def equals(self, value: str) -> bool:
        return value == self._text if self._text is not None else len(value) == self.length and self.at(value, 0)

    def starts(self, value: str) -> bool:
        return value.startswith(self._text) if self._text is not None else self.at(value, 0)

    def prefix(self) -> Matcher:
        """``starts``, as cheap as it can be had."""
        return self.starts if self._text is None else methodcaller("startswith", self._text)

    def at(self, value: str, position: int) -> bool:
        if self._text is not None:
            return value.startswith(self._text, position)
        if len(value) - position < self.length:
            return False
        return all(value.startswith(run, position + place) for place, run in self._runs)

    def find(self, value: str, start: int, stop: int) -> int:
        """Where the first match within ``value[start:stop]`` ends, or -1."""
        if self._text is not None:
            found = value.find(self._text, start, stop)
            return found + self.length if found >= 0 else -1
        first = start
        if self._runs:
            matches = self._matches(value, start, stop)
            if not matches:
                return -1
            first += (matches & -matches).bit_length() - 1
        return first + self.length if first + self.length <= stop else -1

    def _matches(self, value: str, start: int, stop: int) -> int:
        """A bit for each place from ``start`` on: whether the runs stand there. All places are tried at once, so that
        this costs the same whatever the value is."""
        for place, run in self._runs:
            if value.find(run, start + place, stop) < 0:
                return 0
        places = _places(value)
        matches = -1
        for place, run in self._runs:
            for offset, character in enumerate(run, start + place):
                matches &= places[character] >> offset
                if not matches:
                    return 0
        return matches


class _Places(dict[str, int]):
    """Where each character stands in ``value``: a number whose bit i says whether it is the one at i."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        super().__init__()
        self.value = value

    def __missing__(self, character: str) -> int:
        bits = bytearray(len(self.value) // 8 + 1)
        at = self.value.find(character)
        while at >= 0:
            bits[at >> 3] |= 1 << (at & 7)
            at = self.value.find(character, at + 1)
        if len(self) * len(self.value) > _REMEMBERED:
            self.clear()
        places = self[character] = int.from_bytes(bits, "little")
        return places


_REMEMBERED: Final = 1 << 22
"""Bits about one value."""

_places = lru_cache(maxsize=32)(_Places)
"""Of the last values: many patterns are compared with each."""
