# SPDX-License-Identifier: Apache-2.0
"""Customer managed policies with their versions, and the few policies of AWS that every account has."""

from typing import Any, Final

import msgspec
import sqlalchemy as sa

from keyquorum.model import ManagedPolicy, PolicyVersion, identities_name
from keyquorum.store import conditions, schema
from keyquorum.store.engine import Transaction
from keyquorum.store.rowmac import RowMAC

_POLICIES: Final = schema.managed_policies
_AS_JSON: Final[dict[str, Any]] = {"versions": tuple[PolicyVersion, ...], "tags": tuple[tuple[str, str], ...]}


class ManagedPolicies:
    def __init__(self, mac: RowMAC) -> None:
        self._mac = mac

    def load(self, connection: sa.Connection, arn: str) -> ManagedPolicy | None:
        """The customer managed policy of exactly this ARN."""
        account, _, resource = arn.removeprefix("arn:aws:iam::").partition(":policy/")
        row = self._mac.one(connection, _POLICIES, account=account, name=resource.rpartition("/")[2])
        found = None if row is None else _policy(row)
        return found if found is not None and found.arn == arn else None

    def document(self, connection: sa.Connection, arn: str) -> str | None:
        """The document in force of a customer managed policy, or of a policy of AWS."""
        if arn in OF_AWS:
            return OF_AWS[arn].document
        policy = self.load(connection, arn)
        return None if policy is None else policy.document

    def is_taken(self, connection: sa.Connection, account: str, name: str) -> bool:
        """Whether there is a policy of this name, however it is capitalised."""
        query = sa.select(_POLICIES.c.policy_id).where(_POLICIES.c.account == account)
        return connection.execute(query.where(sa.func.lower(_POLICIES.c.name) == name.lower())).first() is not None

    def page(self, connection: sa.Connection, account: str, prefix: str, after: str, limit: int) -> list[ManagedPolicy]:
        """At most ``limit`` policies under a path, in order of their names, that come after ``after``."""
        selecting = (conditions.after("name", after), conditions.under("path", prefix))
        rows = self._mac.many(connection, _POLICIES, *selecting, order=("name",), limit=limit, account=account)
        return [_policy(row) for row in rows]

    def count(self, connection: sa.Connection, account: str) -> int:
        query = sa.select(sa.func.count()).select_from(_POLICIES).where(_POLICIES.c.account == account)
        return int(connection.execute(query).scalar_one())

    def insert(self, txn: Transaction, policy: ManagedPolicy) -> None:
        txn.touch(identities_name(policy.account))
        txn.connection.execute(sa.insert(_POLICIES).values(self._mac.seal(_POLICIES, _values(policy))))

    def update(self, txn: Transaction, policy: ManagedPolicy, **changes: Any) -> ManagedPolicy:
        """Write the policy with these members changed; the policy as it is now."""
        changed = msgspec.structs.replace(policy, **changes, version=policy.version + 1)
        txn.touch(identities_name(policy.account))
        statement = sa.update(_POLICIES).where(_POLICIES.c.policy_id == policy.policy_id)
        txn.connection.execute(statement.values(self._mac.seal(_POLICIES, _values(changed))))
        return changed

    def delete(self, txn: Transaction, policy: ManagedPolicy) -> None:
        """Remove the policy, which must be attached to nobody."""
        txn.touch(identities_name(policy.account))
        txn.connection.execute(sa.delete(_POLICIES).where(_POLICIES.c.policy_id == policy.policy_id))


def _policy(row: dict[str, Any]) -> ManagedPolicy:
    return ManagedPolicy(**row | {name: msgspec.json.decode(row[name], type=shape) for name, shape in _AS_JSON.items()})


def _values(policy: ManagedPolicy) -> dict[str, Any]:
    values = msgspec.structs.asdict(policy)
    return {**values, **{name: msgspec.json.encode(values[name]).decode() for name in _AS_JSON}}


def _of_aws(name: str, description: str, *actions: str) -> ManagedPolicy:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    document = msgspec.json.encode({"Version": "2012-10-17", "Statement": [statement]}).decode()
    return ManagedPolicy(
        policy_id="ANPA" + name.upper()[:17].ljust(17, "A"),
        account="aws",
        name=name,
        path="/",
        description=description,
        created_at=0.0,
        updated_at=0.0,
        versions=(PolicyVersion("v1", document, 0.0),),
        default_version="v1",
    )


OF_AWS: Final[dict[str, ManagedPolicy]] = {
    policy.arn: policy
    for policy in (
        _of_aws("AdministratorAccess", "Provides full access to AWS services and resources.", "*"),
        _of_aws("IAMFullAccess", "Provides full access to IAM.", "iam:*"),
        _of_aws("IAMReadOnlyAccess", "Provides read only access to IAM.", "iam:Get*", "iam:List*", "iam:Simulate*"),
        _of_aws(
            "AWSKeyManagementServicePowerUser",
            "Provides access to AWS Key Management Service, without administration of keys that are there.",
            "kms:CreateAlias",
            "kms:CreateKey",
            "kms:DeleteAlias",
            "kms:Describe*",
            "kms:GenerateRandom",
            "kms:Get*",
            "kms:List*",
            "kms:TagResource",
            "kms:UntagResource",
            "iam:ListGroups",
            "iam:ListRoles",
            "iam:ListUsers",
        ),
    )
}
"""ARN -> policy, of those policies of AWS that have a meaning here, with the same effect."""
