# SPDX-License-Identifier: Apache-2.0
"""A seal whose key is divided among people: any ``threshold`` of the shares give it, fewer give nothing.

Shares are mnemonics of SLIP-39: 33 words, of which the last three are a checksum. Of each the database has a hash, so
that a wrong share is told by itself before the threshold is reached; a share is 256 random bits, of which a hash tells
nobody anything that the sealed root key would not.
"""

import hmac
from typing import Final

import msgspec
from shamir_mnemonic import MnemonicError, Share, generate_mnemonics, recover_ems, wordlist
from shamir_mnemonic.shamir import ShareGroup

from keyquorum.custody.seal import KeySeal, SealError, require_kind
from keyquorum.model import SealedRoot

KIND: Final = "shamir"
#: Of SLIP-39.
MOST_SHARES: Final = 16
#: Characters; the 33 longest words take less.
LONGEST_SHARE: Final = 400
_CHECK: Final = b"keyquorum share check"
_CHECK_BYTES: Final = 16
_WORDS: Final = 33
# The secret is random: stretching it would add nothing. SLIP-39 needs some exponent.
_EXPONENT: Final = 0


class ShareError(SealError):
    """A share that is none of those that are asked for; the text names it and shows none of its words."""


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the database knows of a split. ``identifier``: SLIP-39's, in every share. ``checks``: a hash of each share,
    in the order of their numbers, as hexadecimal digits."""

    identifier: int
    threshold: int
    shares: int
    checks: tuple[str, ...]


def split_of(sealed: SealedRoot) -> Split:
    """Raises SealError if the row is not one of Shamir's, or makes no sense."""
    require_kind(sealed, KIND)
    try:
        split = msgspec.json.decode(sealed.parameters or "", type=Split)
    except msgspec.DecodeError as error:
        raise SealError("what the database says of the shares is damaged") from error
    if not 2 <= split.threshold <= split.shares == len(split.checks) <= MOST_SHARES:
        raise SealError("what the database says of the shares makes no sense: it was tampered with")
    return split


def divide(secret: bytes, threshold: int, shares: int) -> tuple[Split, list[str]]:
    """A new split of 32 bytes, and its mnemonics in the order of their numbers. Raises SealError."""
    if not 2 <= threshold <= shares <= MOST_SHARES:
        raise SealError(f"the threshold must be at least 2, and there may be {MOST_SHARES} shares at most")
    [mnemonics] = generate_mnemonics(1, [(threshold, shares)], secret, iteration_exponent=_EXPONENT)
    parsed = [Share.from_mnemonic(mnemonic) for mnemonic in mnemonics]
    assert [share.index for share in parsed] == list(range(shares))
    return Split(parsed[0].identifier, threshold, shares, tuple(map(_check, parsed))), mnemonics


def seal_of(secret: bytes, split: Split) -> KeySeal:
    return KeySeal(secret, KIND, msgspec.json.encode(split).decode(), "what the shares give")


def read_share(text: str, split: Split) -> Share:
    """The share, proven to be of this split. Raises ShareError."""
    words = text.lower().split()
    if len(text) > LONGEST_SHARE or len(words) != _WORDS:
        raise ShareError(f"a share has {_WORDS} words")
    for number, word in enumerate(words, 1):
        if word not in wordlist.WORD_INDEX_MAP:
            raise ShareError(f"{_reads(words, number)}: word {number} is none of SLIP-39's")
    try:
        share = Share.from_mnemonic(" ".join(words))
    except MnemonicError:
        raise ShareError(f"{_reads(words)} is damaged: its checksum is wrong") from None
    number = share.index + 1
    if share.identifier != split.identifier:
        raise ShareError(f"share {number} is of another split, which is not the one that sealed this root key")
    if share.member_threshold != split.threshold:
        raise ShareError(
            f"share {number} says that {share.member_threshold} shares are needed, and the database says "
            f"{split.threshold}: it is of another split, or the database was tampered with"
        )
    if share.index >= split.shares or not hmac.compare_digest(_check(share), split.checks[share.index]):
        raise ShareError(f"share {number} is wrong: it is of another split, or the database was tampered with")
    return share


def _reads(words: list[str], broken: int = _WORDS) -> str:
    """Its number, as far as that can be trusted. Source: SLIP-39, "Format of the share mnemonic": words 3 and 4 hold
    five numbers of four bits, of which the fourth is the share's."""
    if broken <= 4:
        return "the share"
    index = wordlist.WORD_INDEX_MAP[words[3]] >> 4 & 0xF
    return f"the share that reads as number {index + 1}"


def _check(share: Share) -> str:
    return hmac.digest(_CHECK, bytes([share.index]) + share.value, "sha256")[:_CHECK_BYTES].hex()


def combine(shares: list[Share]) -> bytes:
    """The secret, from exactly as many shares as are needed. Raises SealError."""
    group = ShareGroup()
    try:
        for share in shares:
            group.add(share)
        return bytes(recover_ems({0: group}).decrypt(b""))
    except MnemonicError:
        raise SealError("the shares do not fit together") from None
