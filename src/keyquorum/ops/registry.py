# SPDX-License-Identifier: Apache-2.0
"""Operation name -> operation: the only way from a target on the wire to code."""

from typing import Final

from keyquorum.ops import aliases, data_keys, encrypt, key_state, keys, policies, sts, tags
from keyquorum.ops.operation import Operation

KMS: Final[dict[str, Operation]] = {
    operation.name: operation
    for family in (keys, key_state, aliases, tags, policies, encrypt, data_keys)
    for operation in family.OPERATIONS
}

STS: Final[dict[str, Operation]] = {operation.name: operation for operation in sts.OPERATIONS}
