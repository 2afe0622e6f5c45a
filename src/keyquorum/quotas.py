# SPDX-License-Identifier: Apache-2.0
"""The quotas, one table, with AWS's values unless the operator says otherwise.

Sources: AWS KMS Developer Guide, "Resource quotas"; IAM User Guide, "IAM and AWS STS quotas". (Lengths that the service
model bounds are its constraints.)
"""

import msgspec


class Quotas(msgspec.Struct, frozen=True):
    """Exceeded, each is a LimitExceededException, but for tags, which have a TagException of their own."""

    keys_per_region: int = 100_000
    aliases_per_key: int = 50
    grants_per_key: int = 50_000
    tags_per_key: int = 50
    on_demand_rotations_per_key: int = 25
    # Of an account's identities. IAM's refusals call a quota by its name here, in camel case.
    users_per_account: int = 5000
    groups_per_account: int = 300
    roles_per_account: int = 1000
    policies_per_account: int = 1500
    open_id_connect_providers_per_account: int = 100
    groups_per_user: int = 10
    access_keys_per_user: int = 2
    policies_per_user: int = 10
    policies_per_group: int = 10
    policies_per_role: int = 10
    versions_per_policy: int = 5
    client_ids_per_open_id_connect_provider: int = 100
    tags_per_user: int = 50
    tags_per_role: int = 50
    tags_per_policy: int = 50
    tags_per_open_id_connect_provider: int = 50
    # Characters of policies, white space apart: of one managed policy, and of all inline policies of a holder.
    policy_size: int = 6144
    user_policy_size: int = 2048
    group_policy_size: int = 5120
    role_policy_size: int = 10_240


def parse(texts: tuple[str, ...]) -> Quotas:
    """The quotas, with those changed that ``name=number`` texts name. Raises ValueError."""
    changes: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in Quotas.__struct_fields__ or not number.isascii() or not number.isdigit():
            known = ", ".join(Quotas.__struct_fields__)
            raise ValueError(f"{text!r} is not NAME=NUMBER with one of these names: {known}")
        changes[name] = int(number)
    return Quotas(**changes)
