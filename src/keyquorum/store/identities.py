# SPDX-License-Identifier: Apache-2.0
"""Users, groups, roles, and the roots of accounts. Whatever changes one drops all that is cached of its account's
identities."""

import re
from collections import Counter
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

from keyquorum.errors import IntegrityError
from keyquorum.model import ROLE, ROOT, USER, IdentityRecord, Principal, ResourcePolicy, identities_name
from keyquorum.store import conditions, schema
from keyquorum.store.conditions import Condition
from keyquorum.store.engine import Transaction
from keyquorum.store.managed_policies import ManagedPolicies
from keyquorum.store.rowmac import RowMAC

T = TypeVar("T")

_PRINCIPALS: Final = schema.principals

_ARN: Final = re.compile(r"arn:aws:(iam|sts)::([0-9]{12}):(user|role|assumed-role)/(.+)", re.DOTALL)

#: Under revision 0001 a user had one inline policy, and it had no name.
_UNNAMED: Final = "policy"


class Identities:
    def __init__(self, mac: RowMAC, managed: ManagedPolicies) -> None:
        self._mac = mac
        self._managed = managed

    def load(self, connection: sa.Connection, principal_id: str) -> IdentityRecord | None:
        """The principal with its groups and managed policies. These are taken from whoever has them before they go:
        one that is missing was removed by somebody else, maybe for what it denies, and is an IntegrityError."""
        principal = self.by_id(connection, principal_id)
        if principal is None:
            return None
        groups = tuple([_present(self.by_id(connection, group_id), group_id) for group_id in principal.member_of])
        wanted = {arn for holder in (principal, *groups) for arn in holder.attached}
        if principal.boundary is not None:
            wanted.add(principal.boundary)
        managed = {arn: _present(self._managed.document(connection, arn), arn) for arn in sorted(wanted)}
        return IdentityRecord(principal, groups, managed)

    def by_id(self, connection: sa.Connection, principal_id: str) -> Principal | None:
        return self._one(connection, principal_id=principal_id)

    def principal(self, connection: sa.Connection, account: str, kind: str, name: str) -> Principal | None:
        """The principal of exactly this name."""
        return self._one(connection, account=account, kind=kind, name=name)

    def is_taken(self, connection: sa.Connection, account: str, kind: str, name: str) -> bool:
        """Whether there is a principal of this name, however it is capitalised: names are told apart by more."""
        query = sa.select(_PRINCIPALS.c.principal_id).where(self._of(account, kind))
        return connection.execute(query.where(sa.func.lower(_PRINCIPALS.c.name) == name.lower())).first() is not None

    def page(
        self, connection: sa.Connection, account: str, kind: str, prefix: str, after: str, limit: int
    ) -> list[Principal]:
        """At most ``limit`` principals of a kind under a path, in order of their names, that come after ``after``."""
        selecting = [conditions.after("name", after)]
        if prefix != "/":
            selecting.append(conditions.under("path", prefix))
        return self._select(connection, *selecting, limit=limit, account=account, kind=kind)

    def everyone(self, connection: sa.Connection) -> list[Principal]:
        """All principals of all accounts, in order of their names."""
        return self._select(connection)

    def count(self, connection: sa.Connection, account: str, kind: str) -> int:
        query = sa.select(sa.func.count()).select_from(_PRINCIPALS).where(self._of(account, kind))
        return int(connection.execute(query).scalar_one())

    def members(self, connection: sa.Connection, account: str, group_id: str) -> list[Principal]:
        """The users in a group, in order of their names."""
        users = self._select(connection, conditions.containing("member_of", group_id), account=account, kind=USER)
        return [user for user in users if group_id in user.member_of]

    def groups(self, connection: sa.Connection, user: Principal) -> list[Principal]:
        found = [self.by_id(connection, group_id) for group_id in user.member_of]
        return sorted([group for group in found if group is not None], key=lambda group: group.name)

    def holders(self, connection: sa.Connection, account: str, policy_arn: str) -> list[Principal]:
        """All to whom a managed policy is attached, or whose boundary it is."""
        held = conditions.either(
            conditions.containing("attached", policy_arn), conditions.among("boundary", (policy_arn,))
        )
        found = self._select(connection, held, account=account)
        return [p for p in found if policy_arn in p.attached or policy_arn == p.boundary]

    def usage(self, connection: sa.Connection, account: str) -> tuple[Counter[str], Counter[str]]:
        """To how many each managed policy is attached, and of how many it is the boundary."""
        attached, boundaries = Counter[str](), Counter[str]()
        for row in self._mac.many(connection, _PRINCIPALS, account=account):
            attached.update(msgspec.json.decode(row["attached"] or "[]", type=list[str]))
            boundaries.update([] if row["boundary"] is None else [row["boundary"]])
        return attached, boundaries

    def unique_id(self, connection: sa.Connection, arn: str) -> str | None:
        """The unique ID of the user, role or role session that an ARN names, or None if there is none."""
        match = _ARN.fullmatch(arn)
        if match is None:
            return None
        service, account, kind, rest = match.groups()
        if service == "sts":
            name, _, session = rest.partition("/")
            role = self.principal(connection, account, ROLE, name)
            return f"{role.principal_id}:{session}" if role is not None and kind == "assumed-role" else None
        found = self.principal(connection, account, USER if kind == "user" else ROLE, rest.rpartition("/")[2])
        return found.principal_id if found is not None and found.arn == arn else None

    def has_account(self, connection: sa.Connection, account: str) -> bool:
        return self.principal(connection, account, ROOT, ROOT) is not None

    def insert(self, txn: Transaction, principal: Principal) -> None:
        txn.touch(identities_name(principal.account))
        txn.connection.execute(sa.insert(_PRINCIPALS).values(self._mac.seal(_PRINCIPALS, _row(principal))))

    def update(self, txn: Transaction, principal: Principal, **changes: Any) -> Principal:
        """Write the principal with these members changed; the principal as it is now."""
        changed = msgspec.structs.replace(principal, **changes, version=principal.version + 1)
        txn.touch(identities_name(principal.account))
        statement = sa.update(_PRINCIPALS).where(_PRINCIPALS.c.principal_id == principal.principal_id)
        txn.connection.execute(statement.values(self._mac.seal(_PRINCIPALS, _row(changed))))
        return changed

    def delete(self, txn: Transaction, principal: Principal) -> None:
        """Remove the principal. Its access keys must be gone, and a group must be empty."""
        txn.touch(identities_name(principal.account))
        txn.connection.execute(sa.delete(_PRINCIPALS).where(_PRINCIPALS.c.principal_id == principal.principal_id))

    @staticmethod
    def _of(account: str, kind: str) -> sa.ColumnElement[bool]:
        return sa.and_(_PRINCIPALS.c.account == account, _PRINCIPALS.c.kind == kind)

    def _one(self, connection: sa.Connection, **selected: Any) -> Principal | None:
        row = self._mac.one(connection, _PRINCIPALS, **selected)
        return None if row is None else _principal(row)

    def _select(
        self, connection: sa.Connection, *selecting: Condition, limit: int | None = None, **selected: Any
    ) -> list[Principal]:
        rows = self._mac.many(connection, _PRINCIPALS, *selecting, order=("name",), limit=limit, **selected)
        return [_principal(row) for row in rows]


_AS_JSON: Final[dict[str, Any]] = {
    "tags": tuple[tuple[str, str], ...],
    "inline": tuple[tuple[str, str], ...],
    "attached": tuple[str, ...],
    "member_of": tuple[str, ...],
}


def _present(found: T | None, name: str) -> T:
    if found is None:
        raise IntegrityError(f"{name} is gone, and somebody still has it")
    return found


def _principal(row: dict[str, Any]) -> Principal:
    unnamed = row.pop("policy")
    trust, bound = row.pop("trust"), row.pop("bound")
    present = {name: value for name, value in row.items() if value is not None}
    for name, shape in _AS_JSON.items():
        if name in present:
            present[name] = msgspec.json.decode(present[name], type=shape)
    if trust is not None:
        present["trust"] = ResourcePolicy(trust, _bound(bound))
    if unnamed is not None:
        present["inline"] = ((_UNNAMED, unnamed), *present.get("inline", ()))
    return Principal(**present)


def _row(principal: Principal) -> dict[str, Any]:
    row = msgspec.structs.asdict(principal)
    trust: ResourcePolicy | None = row.pop("trust")
    for name in _AS_JSON:
        row[name] = msgspec.json.encode(row[name]).decode()
    bound = None if trust is None or trust.bound is None else msgspec.json.encode(trust.bound).decode()
    return {**row, "policy": None, "trust": None if trust is None else trust.document, "bound": bound}


def _bound(text: str | None) -> dict[str, str] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, str])
