# SPDX-License-Identifier: Apache-2.0
"""The chain: each line of an audit file holds the hash of the line before it, so that none can be changed, removed,
inserted or moved without all that follow.

A writer has a chain of its own from its start to its end, with sequence numbers from 1. The first line of a chain holds
the hash of the last line that was in the file, so that all chains of a file, and of the files that it was rotated into,
are one. A line's hash is SHA-256 over its bytes, the newline included (FIPS 180-4).
"""

import os
import re
from hashlib import sha256
from typing import Final, NamedTuple

#: What stands for the hash of the line before the first.
ORIGIN: Final = "0" * 64

# Only the end of a line is looked at: all before it comes from clients, and cannot get out of its quotes.
_END: Final = re.compile(
    rb',"chain":"([0-9a-f]{16})","sequence":([1-9][0-9]{0,17}),"previous":"([0-9a-f]{64})"\}\}\n\Z'
)
_LONGEST_END: Final = 160


class Head(NamedTuple):
    """The last line of a chain; with sequence 0 the chain is yet to begin, and ``hash`` is the line's before it."""

    chain: str
    sequence: int
    hash: str


class Link(NamedTuple):
    """A line's place: its chain, its number there, and the hash of the line before it."""

    chain: str
    sequence: int
    previous: str


def begin(previous: str) -> Head:
    """A new chain that follows the line with this hash."""
    return Head(os.urandom(8).hex(), 0, previous)


def follow(head: Head, records: list[bytes]) -> tuple[list[bytes], Head]:
    """The records as lines that follow ``head``, and the head after them. A record is as ``record.encode`` makes it."""
    chain, sequence, digest = head
    lines = []
    for record in records:
        sequence += 1
        end = f',"chain":"{chain}","sequence":{sequence},"previous":"{digest}"}}}}\n'
        line = record[:-2] + end.encode()
        digest = sha256(line).hexdigest()
        lines.append(line)
    return lines, Head(chain, sequence, digest)


def link_of(line: bytes) -> Link | None:
    """The place of a line, newline included; None if it has none."""
    found = _END.search(line, max(0, len(line) - _LONGEST_END))
    return None if found is None else Link(found[1].decode(), int(found[2]), found[3].decode())


def head_at(line: bytes) -> Head | None:
    """The head of the chain that ends with this line; None if it is in none."""
    link = link_of(line)
    return None if link is None else Head(link.chain, link.sequence, hash_of(line))


def hash_of(line: bytes) -> str:
    return sha256(line).hexdigest()
