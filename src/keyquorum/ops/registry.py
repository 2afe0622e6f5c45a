# SPDX-License-Identifier: Apache-2.0
"""Operation name -> operation: the only way from a target on the wire to code."""

from typing import Final

from keyquorum.ops import (
    agree,
    aliases,
    data_keys,
    encrypt,
    grants,
    iam_access_keys,
    iam_attachments,
    iam_groups,
    iam_inline,
    iam_policies,
    iam_policy_versions,
    iam_providers,
    iam_roles,
    iam_simulate,
    iam_tags,
    iam_users,
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

IAM: Final[dict[str, Operation]] = {
    operation.name: operation
    for family in (
        iam_users,
        iam_groups,
        iam_roles,
        iam_simulate,
        iam_tags,
        iam_inline,
        iam_attachments,
        iam_policies,
        iam_policy_versions,
        iam_access_keys,
        iam_providers,
    )
    for operation in family.OPERATIONS
}

BY_SERVICE: Final = {b"kms": KMS, b"sts": STS, b"iam": IAM}
