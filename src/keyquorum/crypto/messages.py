# SPDX-License-Identifier: Apache-2.0
"""From the Message and MessageType of Sign and Verify to the digest that is signed.

RAW is hashed here, DIGEST is taken as it is and never hashed again. It refuses a DIGEST of another length than the
algorithm's and every message type that the key spec or the algorithm lacks.

Source: AWS KMS API reference, Sign, "MessageType".
"""

import hashlib

from keyquorum.errors import ValidationException

#: By the last seven characters of an algorithm's name, which name its hash function.
_HASHES = {"SHA_256": hashlib.sha256, "SHA_384": hashlib.sha384, "SHA_512": hashlib.sha512}


def digest(spec: str, algorithm: str, message: bytes, message_type: str) -> bytes:
    """The digest to sign, as long as the hash function of ``algorithm`` has it; ValidationException as above."""
    if message_type == "RAW":
        return _HASHES[algorithm[-7:]](message).digest()
    if message_type != "DIGEST":
        raise ValidationException(f"Message type {message_type} is incompatible with key spec {spec}.")
    return check_length(algorithm, message)


def check_length(algorithm: str, message: bytes) -> bytes:
    """``message``, if it has the length of a digest of ``algorithm``; else ValidationException."""
    if len(message) != _HASHES[algorithm[-7:]]().digest_size:
        raise ValidationException(f"Digest is invalid length for algorithm {algorithm}.")
    return message
