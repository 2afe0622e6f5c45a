# SPDX-License-Identifier: Apache-2.0
"""Which permissions each operation needs, and on what. A test makes each example with exactly these."""

from typing import Final

from msgspec import Struct

from keyquorum import api


class Permission(Struct, frozen=True):
    """``action``, as policies spell it; ``on`` what; ``when``, if not always."""

    action: str
    on: str
    when: str = ""


_KEY: Final = "the key"
_ACCOUNT: Final = "the account: identity-based policies alone, Resource *"
_TAGGED: Final = "the request has Tags"


def _in_account(operation: str, *more: Permission) -> tuple[Permission, ...]:
    return (Permission(f"kms:{operation}", _ACCOUNT), *more)


def _alias(operation: str, *keys: str) -> tuple[Permission, ...]:
    action = f"kms:{operation}"
    return (Permission(action, "the alias: identity-based policies alone"), *(Permission(action, on) for on in keys))


_OTHERS: Final[dict[str, tuple[Permission, ...]]] = {
    "CreateKey": _in_account("CreateKey", Permission("kms:TagResource", "the key that is made", _TAGGED)),
    "ListKeys": _in_account("ListKeys"),
    "ListAliases": _in_account("ListAliases"),
    "ListRetirableGrants": _in_account("ListRetirableGrants"),
    "GenerateRandom": _in_account("GenerateRandom"),
    "CreateAlias": _alias("CreateAlias", _KEY),
    "UpdateAlias": _alias("UpdateAlias", "the key that it names now", "the key that it is to name"),
    "DeleteAlias": _alias("DeleteAlias", _KEY),
    "ReEncrypt": (
        Permission("kms:ReEncryptFrom", "the key that decrypts"),
        Permission("kms:ReEncryptTo", "the key that encrypts"),
    ),
    "ReplicateKey": (
        Permission("kms:ReplicateKey", "the primary key"),
        Permission("kms:CreateKey", "the account, in the replica's Region"),
        Permission("kms:TagResource", "the replica", _TAGGED),
    ),
    "UpdatePrimaryRegion": (
        Permission("kms:UpdatePrimaryRegion", "the primary key"),
        Permission("kms:UpdatePrimaryRegion", "the replica"),
    ),
    "RetireGrant": (
        Permission("kms:RetireGrant", _KEY, "neither the grant nor being the root of the account already allows it"),
    ),
    **{
        name: _in_account(name)
        for name in (
            "ConnectCustomKeyStore",
            "CreateCustomKeyStore",
            "DeleteCustomKeyStore",
            "DescribeCustomKeyStores",
            "DisconnectCustomKeyStore",
            "UpdateCustomKeyStore",
        )
    },
}

PERMISSIONS: Final[dict[str, tuple[Permission, ...]]] = {
    name: _OTHERS.get(name, (Permission(f"kms:{name}", _KEY),)) for name in sorted(api.OPERATIONS)
}
