# SPDX-License-Identifier: Apache-2.0
"""The key specs, one row each: what a key of that spec may be used for, with which algorithms, and its size.

A spec that is not in ``SPECS`` cannot be created. Source: AWS KMS Developer Guide, "Key spec reference".
"""

import msgspec

ENCRYPT_DECRYPT = "ENCRYPT_DECRYPT"
SYMMETRIC_DEFAULT = "SYMMETRIC_DEFAULT"


class Spec(msgspec.Struct, frozen=True):
    """``usages``: the KeyUsage values that go with the spec, the default first where there is one.
    ``algorithms``: those of EncryptionAlgorithms. ``material_bytes``: the length of its key material."""

    usages: tuple[str, ...]
    default_usage: str | None
    algorithms: tuple[str, ...]
    material_bytes: int


SPECS = {
    SYMMETRIC_DEFAULT: Spec(
        usages=(ENCRYPT_DECRYPT,),
        default_usage=ENCRYPT_DECRYPT,
        algorithms=(SYMMETRIC_DEFAULT,),
        material_bytes=32,
    ),
}

#: DataKeySpec -> bytes (GenerateDataKey).
DATA_KEY_BYTES = {"AES_128": 16, "AES_256": 32}
