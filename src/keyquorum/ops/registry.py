# SPDX-License-Identifier: Apache-2.0
"""Operation name -> operation: the only way from a target on the wire to code."""

from typing import Final

from keyquorum.ops import (
    agree,
    aliases,
    data_keys,
    encrypt,
    grants,
    iam,
    key_state,
    keys,
    last_usage,
    mac,
    material,
    policies,
    replicas,
    rotation,
    sign,
    sts,
    tags,
)
from keyquorum.ops.operation import Operation

KMS: Final[dict[str, Operation]] = {
    operation.name: operation
    for family in (
        keys,
        key_state,
        material,
        rotation,
        replicas,
        aliases,
        tags,
        policies,
        grants,
        encrypt,
        data_keys,
        sign,
        mac,
        agree,
        last_usage,
    )
    for operation in family.OPERATIONS
}

STS: Final[dict[str, Operation]] = {operation.name: operation for operation in sts.OPERATIONS}

IAM: Final[dict[str, Operation]] = {operation.name: operation for operation in iam.OPERATIONS}

BY_SERVICE: Final = {b"kms": KMS, b"sts": STS, b"iam": IAM}
