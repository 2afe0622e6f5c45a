# SPDX-License-Identifier: Apache-2.0
"""AES key wrap with padding, the second half of the RSA_AES_KEY_WRAP algorithms of ImportKeyMaterial.

It only unwraps: wrapping is done by whoever imports. It refuses to say why something did not unwrap.

Source: RFC 5649 (NIST SP 800-38F, KWP).
"""

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding

from keyquorum.errors import InvalidCiphertextException


def unwrap(key: bytes, wrapped: bytes) -> bytes:
    """The wrapped bytes. ``key``: 16, 24 or 32 bytes. InvalidCiphertextException whatever is wrong with either."""
    try:
        return aes_key_unwrap_with_padding(key, wrapped)
    except (InvalidUnwrap, ValueError):
        # Without a cause: what the library says of the padding must reach no log.
        raise InvalidCiphertextException from None
