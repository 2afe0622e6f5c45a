# SPDX-License-Identifier: Apache-2.0
"""Opening a seal for somebody who sits at a terminal, or gives a file: shares and passphrases that a server would wait
for. Nothing is echoed, and nothing is kept."""

import sys
import time
from collections.abc import Iterator
from typing import Final

from keyquorum.config import Settings
from keyquorum.custody import secrets, shamir
from keyquorum.custody.attempt import Attempt
from keyquorum.custody.passphrase import PassphraseSeal
from keyquorum.custody.seal import IN_USE, SealError
from keyquorum.custody.shamir import ShareError
from keyquorum.model import SealedRoot

_ROOM: Final = shamir.MOST_SHARES * (shamir.LONGEST_SHARE + 2)
_PROMPT: Final = "prompt"


def open_by_hand(settings: Settings, sealed: SealedRoot, role: str = IN_USE) -> bytes:
    """The root key. Raises SealError."""
    if sealed.kind != shamir.KIND:
        return PassphraseSeal(secrets.read(_PROMPT, "passphrase of the seal")).open(sealed, role)
    attempt = Attempt(sealed, time.monotonic, role)
    typed = settings.seal_shares == _PROMPT
    for text in _typed(attempt) if typed else _listed(settings.seal_shares):
        try:
            root_key = attempt.give(text)
        except ShareError as error:
            if not typed:
                raise
            print(error, file=sys.stderr)  # noqa: T201 - to whoever typed it
        else:
            if root_key is not None:
                return root_key
    raise SealError(f"{attempt.threshold} shares are needed, and {len(attempt.given())} were given")


def _typed(attempt: Attempt) -> Iterator[str]:
    while True:
        number = len(attempt.given()) + 1
        yield secrets.read(_PROMPT, f"share ({number} of {attempt.threshold} that are needed)").decode(errors="replace")


def _listed(source: str) -> Iterator[str]:
    text = secrets.read(source, "shares", _ROOM).decode(errors="replace")
    yield from (line for line in text.splitlines() if line.strip())
