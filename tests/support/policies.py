# SPDX-License-Identifier: Apache-2.0
"""Policy documents, made a little different from a good one."""

import json
from typing import Any

ACCOUNT = "111122223333"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/team/alice"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service/admin"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/laptop"
KEY_ARN = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"

ABSENT = object()
KEY_STATEMENT: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
IDENTITY_STATEMENT: dict[str, Any] = {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": KEY_ARN}


MFA = {"Bool": {"aws:MultiFactorAuthPresent": "false"}}


def but(statement: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**statement, **changes}.items() if value is not ABSENT}


def document(*statements: Any, **top: Any) -> str:
    return json.dumps({"Version": "2012-10-17", **top, "Statement": list(statements)})


def allow(principal: Any, action: Any = "kms:*", **changes: Any) -> dict[str, Any]:
    return but(KEY_STATEMENT, Principal=principal, Action=action, **changes)


def deny(principal: Any, action: Any = "kms:*", **changes: Any) -> dict[str, Any]:
    return allow(principal, action, Effect="Deny", **changes)
