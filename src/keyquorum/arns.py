# SPDX-License-Identifier: Apache-2.0
"""Key and alias ARNs, in both layouts, and the four forms in which a request names a key.

Both layouts are understood at all times; one is written. This module parses and formats: whether the key exists
is not its business. Source: AWS KMS Developer Guide, "Key identifiers (KeyId)".
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from keyquorum.errors import InvalidArnException, NotFoundException, ValidationException

AWS: Final = "aws"
VERENC: Final = "verenc"

_ARN: Final = re.compile(
    r"arn:aws:(?:kms:(?P<region>[a-z0-9-]{1,32})|verenc):(?P<account>[0-9]{12}):(?:key/(?P<key>[A-Za-z0-9-]{1,64})|(?P<alias>alias/[a-zA-Z0-9/_-]{1,250}))",
    re.ASCII,
)
_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)
_REGION: Final = re.compile(r"([a-z]+-){2,3}[0-9]+", re.ASCII)
_ANY_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_AWS_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}", re.IGNORECASE | re.ASCII)


class KeyRef(msgspec.Struct, frozen=True, gc=False):
    """A parsed KeyId. ``account`` and ``region`` are those of the ARN, or None where the caller's are meant.
    Exactly one of ``key_id`` and ``alias`` is set."""

    key_id: str | None
    alias: str | None
    account: str | None = None
    region: str | None = None


@lru_cache(maxsize=2048)
def parse(text: str, *, declares_invalid_arn: bool) -> KeyRef:
    """Parse a key ID, key ARN, alias name or alias ARN.

    Raises ValidationException for what is not ASCII, NotFoundException, or InvalidArnException for an ARN where the
    operation declares that error.
    """
    if not text.isascii():
        # A rule of the service that its model does not tell.
        raise ValidationException(
            f"1 validation error detected: Value '{text}' at 'keyId' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: ^\\p{ASCII}+$"
        )
    if text.startswith("arn:"):
        match = _ARN.fullmatch(text)
        if match is None:
            error = InvalidArnException if declares_invalid_arn else NotFoundException
            raise error(f"Invalid arn {text}")
        return KeyRef(match["key"], match["alias"], match["account"], match["region"])
    if text.startswith("alias/"):
        return KeyRef(None, text)
    if _ANY_ID.fullmatch(text) is None:
        raise NotFoundException(f"Invalid keyId '{text}'")
    return KeyRef(text, None)


def is_account(text: str) -> bool:
    """Whether the text has the form of an account ID."""
    return _ACCOUNT.fullmatch(text) is not None


def principal(text: str) -> str:
    """The ARN of a principal that a request names: an account ID stands for the account's root."""
    return f"arn:aws:iam::{text}:root" if is_account(text) else text


def is_region(text: str) -> bool:
    """Whether the text has the form of a Region's name."""
    return _REGION.fullmatch(text) is not None


def is_key_id(text: str) -> bool:
    """Whether the text has the form of a key ID that the service itself would give out."""
    return _AWS_ID.fullmatch(text) is not None


def is_usable_key_id(text: str) -> bool:
    """Whether the text may serve as a key ID that a seed file or a development tag chooses."""
    return _ANY_ID.fullmatch(text) is not None


class ArnLayout(msgspec.Struct, frozen=True):
    """Writes ARNs in one layout: ``aws`` (what client libraries insist on) or ``verenc`` (which names no Region)."""

    name: str

    def _prefix(self, region: str, account: str) -> str:
        return f"arn:aws:verenc:{account}:" if self.name == VERENC else f"arn:aws:kms:{region}:{account}:"

    def key(self, region: str, account: str, key_id: str) -> str:
        return f"{self._prefix(region, account)}key/{key_id}"

    def alias(self, region: str, account: str, name: str) -> str:
        return self._prefix(region, account) + name


LAYOUTS: Final = (ArnLayout(AWS), ArnLayout(VERENC))
"""Both, the one that policies are usually written in first."""
