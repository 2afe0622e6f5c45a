# SPDX-License-Identifier: Apache-2.0
"""A seal whose key something else keeps and hands to the process at its start: a variable, a credential of systemd, a
file that a secret store mounts. 256 bits, in Base64."""

import base64
import binascii
from typing import Final

from keyquorum.custody.seal import KeySeal, SealError

KIND: Final = "environment"


def environment_seal(text: bytes) -> KeySeal:
    """Raises SealError if it is no key; the error does not show it."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KeySeal.KEY_BYTES:
        raise SealError("the environment's seal key is not the Base64 of 32 bytes (head -c 32 /dev/urandom | base64)")
    return KeySeal(key, KIND, what="the environment's seal key")
