# SPDX-License-Identifier: Apache-2.0
"""Signatures of checkpoints: Ed25519 (RFC 8032) over a line of JSON, which then gets the signature as its last member.

Who verifies takes that member off again, and needs the public key alone.
"""

import re
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: What the root key derives the seed of the signing key under.
LABEL: Final = "audit checkpoints"

_END: Final = re.compile(rb',"signature":"([0-9a-f]{128})"\}\n\Z')


class Signer:
    """The signing key, from its 32-byte seed."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def sign(self, statement: bytes) -> bytes:
        """A JSON object as a signed line."""
        return statement[:-1] + b',"signature":"%b"}\n' % self._key.sign(statement).hex().encode()

    def public_key(self) -> str:
        """In hexadecimal, 64 digits."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


class Verifier:
    def __init__(self, public_key: str) -> None:
        """Raises ValueError if this is no public key in hexadecimal."""
        self._key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))

    def verified(self, line: bytes) -> bytes | None:
        """The statement that the line signs; None if it does not."""
        found = _END.search(line)
        if found is None:
            return None
        statement = line[: found.start()] + b"}"
        try:
            self._key.verify(bytes.fromhex(found[1].decode()), statement)
        except InvalidSignature:
            return None
        return statement
