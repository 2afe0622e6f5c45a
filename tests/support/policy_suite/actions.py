# SPDX-License-Identifier: Apache-2.0
"""Which actions a statement is about."""

from typing import Any

from asked import DEFAULT, FULL, Asked, by, doc
from policies import ALICE

from policy_suite import IAM, Case, Page

ACTION = Page(IAM, "IAM JSON policy elements: Action", "IAM JSON policy elements: Action")
NOT_ACTION = Page(IAM, "IAM JSON policy elements: NotAction", "IAM JSON policy elements: NotAction")


def about(page: Page, element: dict[str, Any], action: str, applies: bool) -> list[Case]:
    """A statement with ``element``, and whether it is about ``action``."""
    cases = []
    for effect in ("Allow", "Deny"):
        said = {"Effect": effect, "Resource": "*", **element}
        identity = (doc(said),) if effect == "Allow" else (FULL, doc(said))
        key_policy = doc({**said, "Principal": {"AWS": ALICE}}, *([] if effect == "Allow" else [by({"AWS": ALICE})]))
        allowed = applies is (effect == "Allow")
        cases.append(Case(page, "", Asked(action=action, key_policy=DEFAULT, identity=identity), allowed))
        cases.append(Case(page, "", Asked(action=action, key_policy=key_policy), allowed))
    return cases


ROWS = [
    about(ACTION, {"Action": "kms:Encrypt"}, "kms:Encrypt", True),
    about(ACTION, {"Action": "KMS:ENCRYPT"}, "kms:Encrypt", True),
    about(ACTION, {"Action": "kms:encrypt"}, "kms:Encrypt", True),
    about(ACTION, {"Action": "kms:Encryp"}, "kms:Encrypt", False),
    about(ACTION, {"Action": "kms:Encryptt"}, "kms:Encrypt", False),
    about(ACTION, {"Action": "kms:*"}, "kms:Encrypt", True),
    about(ACTION, {"Action": "*"}, "kms:Encrypt", True),
    about(ACTION, {"Action": "*:*"}, "kms:Encrypt", True),
    about(ACTION, {"Action": "s3:*"}, "kms:Encrypt", False),
    about(ACTION, {"Action": "kms:En*"}, "kms:EnableKey", True),
    about(ACTION, {"Action": "kms:*crypt"}, "kms:Decrypt", True),
    about(ACTION, {"Action": "kms:*crypt"}, "kms:ReEncryptTo", False),
    about(ACTION, {"Action": "kms:ReEncrypt*"}, "kms:ReEncryptFrom", True),
    about(ACTION, {"Action": "kms:ReEncrypt"}, "kms:ReEncryptFrom", False),
    about(ACTION, {"Action": "kms:GenerateDataKey*"}, "kms:GenerateDataKeyPairWithoutPlaintext", True),
    about(ACTION, {"Action": "kms:GenerateDataKey"}, "kms:GenerateDataKeyPair", False),
    about(ACTION, {"Action": "kms:?ncrypt"}, "kms:Encrypt", True),
    about(ACTION, {"Action": "kms:??crypt"}, "kms:Decrypt", True),
    about(ACTION, {"Action": "kms:???crypt"}, "kms:Decrypt", False),
    about(ACTION, {"Action": "kms:*Key*Plain*"}, "kms:GenerateDataKeyWithoutPlaintext", True),
    about(ACTION, {"Action": ["kms:Sign", "kms:Encrypt"]}, "kms:Encrypt", True),
    about(ACTION, {"Action": ["kms:Sign", "kms:Verify"]}, "kms:Encrypt", False),
    about(ACTION, {"Action": "sts:AssumeRole"}, "kms:Encrypt", False),
    about(NOT_ACTION, {"NotAction": "kms:Encrypt"}, "kms:Encrypt", False),
    about(NOT_ACTION, {"NotAction": "kms:encrypt"}, "kms:Encrypt", False),
    about(NOT_ACTION, {"NotAction": "kms:Decrypt"}, "kms:Encrypt", True),
    about(NOT_ACTION, {"NotAction": "kms:*"}, "kms:Encrypt", False),
    about(NOT_ACTION, {"NotAction": "s3:*"}, "kms:Encrypt", True),
    about(NOT_ACTION, {"NotAction": ["kms:Sign", "kms:En*"]}, "kms:Encrypt", False),
    about(NOT_ACTION, {"NotAction": ["kms:Sign", "kms:Verify"]}, "kms:Encrypt", True),
]
