# SPDX-License-Identifier: Apache-2.0
"""The operations of AWS IAM that administer who there is and who may do what."""

from typing import Final

from keyquorum.ops.iam import (
    access_keys,
    attachments,
    groups,
    inline,
    policies,
    policy_versions,
    providers,
    roles,
    simulate,
    tags,
    users,
)
from keyquorum.ops.operation import Operation

OPERATIONS: Final[tuple[Operation, ...]] = (
    *users.OPERATIONS,
    *groups.OPERATIONS,
    *roles.OPERATIONS,
    *tags.OPERATIONS,
    *inline.OPERATIONS,
    *attachments.OPERATIONS,
    *policies.OPERATIONS,
    *policy_versions.OPERATIONS,
    *access_keys.OPERATIONS,
    *providers.OPERATIONS,
    *simulate.OPERATIONS,
)
