# SPDX-License-Identifier: Apache-2.0
"""Operation name -> operation: the only way from a target on the wire to code."""

from typing import Final

from keyquorum.ops import (
    agree,
    aliases,
    console,
    console_access,
    console_counts,
    console_events,
    console_status,
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
    policy_check,
    replicas,
    rotation,
    search,
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

OWN: Final[dict[str, Operation]] = {
    operation.name: operation
    for family in (console, console_access, console_counts, console_events, console_status, search, policy_check)
    for operation in family.OPERATIONS
}

BY_SERVICE: Final = {b"kms": KMS, b"sts": STS, b"iam": IAM, b"keyquorum": OWN}
