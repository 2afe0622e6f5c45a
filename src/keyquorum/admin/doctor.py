# SPDX-License-Identifier: Apache-2.0
"""``keyquorum doctor``: checks of a data directory, each a function that tells what is wrong in plain sentences. It
reads and changes nothing, and knows no more than the directory: not who may read its backups."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum.admin import offline
from keyquorum.admin.client import ClientError
from keyquorum.admin.comparison import compared, doubt_of
from keyquorum.app import Opened
from keyquorum.audit.signing import Verifier
from keyquorum.audit.verify import verify
from keyquorum.authz.policy import Policy, parse_key_policy, parse_trust_policy
from keyquorum.authz.principals import Principals
from keyquorum.config import Settings
from keyquorum.errors import IntegrityError, KMSError
from keyquorum.layout import DataDirectory
from keyquorum.model import ROLE, ROOT, AccessKey, Principal, ResourcePolicy
from keyquorum.store.store import Store

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
_UNUSED: Final = 90 * _DAY
_OLD: Final = 365 * _DAY


class Patient(NamedTuple):
    """A data directory, opened. ``now`` is in seconds since the epoch, ``doubt`` as of ``audit.claims``."""

    path: Path
    opened: Opened
    connection: sa.Connection
    now: float
    doubt: float

    @property
    def store(self) -> Store:
        return self.opened.store

    def access_keys(self) -> Iterator[tuple[Principal, AccessKey, float | None]]:
        """All that can be used, with who has them and when they last were."""
        for principal in self.store.identities.everyone(self.connection):
            for key in self.store.access_keys.of(self.connection, principal.principal_id):
                if key.status == "Active":
                    use = self.store.access_keys.last_use(self.connection, key.access_key_id)
                    yield principal, key, None if use is None else use.used_at


def examine(settings: Settings, now: float | None = None) -> list[str]:
    """What is wrong with the data directory; nothing, if the list is empty."""
    path = settings.data
    assert path is not None
    findings = list(_permissions(path))
    try:
        with offline.reading(settings) as opened, opened.database.read() as connection:
            patient = Patient(path, opened, connection, time.time() if now is None else now, doubt_of(settings))
            for check in _CHECKS:
                findings += _found(check, patient)
    except ClientError as error:
        findings.append(f"{error}.")
    return findings


def _found(check: Callable[[Patient], Iterator[str]], patient: Patient) -> Iterator[str]:
    try:
        yield from check(patient)
    except IntegrityError as error:
        yield f"The database is not what keyquorum wrote: {error}."
    except (KMSError, OSError) as error:
        yield f"A check could not be made: {error}."


def _permissions(path: Path) -> Iterator[str]:
    """That of the seal key is checked whenever it is read."""
    for directory in (path, DataDirectory(path).audit):
        if directory.is_dir() and directory.stat().st_mode & 0o077:
            yield f"The directory {directory} is open to others; its mode should be 0700."


def _root_access_key(patient: Patient) -> Iterator[str]:
    """For a day it is what an account is set up with."""
    for principal, key, used in patient.access_keys():
        recent = used is not None and patient.now - used < _DAY and patient.now - principal.created_at > _DAY
        if principal.kind == ROOT and used is not None and recent:
            yield (
                f"The root access key {key.access_key_id} of account {principal.account} was last used "
                f"{(patient.now - used) / _HOUR:.0f} hours ago. It is for set-up: make a user for each task."
            )


def _unused_access_keys(patient: Patient) -> Iterator[str]:
    for principal, key, used in patient.access_keys():
        idle = patient.now - (key.created_at if used is None else used)
        if principal.kind != ROOT and idle > _UNUSED:
            how = "was never used" if used is None else f"was last used {idle / _DAY:.0f} days ago"
            yield f"The access key {key.access_key_id} of {principal.arn} {how}: make it Inactive, or delete it."


def _old_access_keys(patient: Patient) -> Iterator[str]:
    for principal, key, _ in patient.access_keys():
        age = patient.now - key.created_at
        if age > _OLD:
            yield f"The access key {key.access_key_id} of {principal.arn} is {age / _DAY:.0f} days old: replace it."


def _key_policies(patient: Patient) -> Iterator[str]:
    keys = patient.store.keys
    for place in keys.places(patient.connection):
        record = keys.load(patient.connection, place.key_id, place.region)
        if record is None or record.policy is None:
            continue
        of = f"The key policy of key {place.key_id} ({place.region}, account {place.account})"
        yield from _named_by(patient, of, parse_key_policy(record.policy.document), record.policy)


def _trust_policies(patient: Patient) -> Iterator[str]:
    for principal in patient.store.identities.everyone(patient.connection):
        if principal.kind == ROLE and principal.trust is not None:
            of = f"The trust policy of role {principal.arn}"
            yield from _named_by(patient, of, parse_trust_policy(principal.trust.document), principal.trust)


def _named_by(patient: Patient, of: str, policy: Policy, resource_policy: ResourcePolicy) -> Iterator[str]:
    connection, identities = patient.connection, patient.store.identities

    def is_there(arn: str) -> bool:
        bound = resource_policy.bound
        unique_id = identities.unique_id(connection, arn) if bound is None else bound.get(arn)
        return unique_id is not None and identities.by_id(connection, unique_id.partition(":")[0]) is not None

    named = [p for s in policy.statements for p in (s.principals, s.not_principals) if p is not None]
    gone = {arn for principals in named for arn in principals.arns if not is_there(arn)}
    gone |= {a for principals in named for a in principals.accounts if not identities.has_account(connection, a)}
    for name in sorted(gone):
        yield f"{of} names {name}, who is not there any more; one made again under the name would get nothing."

    def lets_in(who: Principals) -> bool:
        return bool(who.anyone or who.services or who.federated or (who.arns | who.accounts) - gone)

    if not any(s.effect == "Allow" and s.principals is not None and lets_in(s.principals) for s in policy.statements):
        yield f"{of} lets nobody in."


def _audit(patient: Patient) -> Iterator[str]:
    directory = DataDirectory(patient.path).audit
    if directory.is_dir():
        report = verify(directory, Verifier(patient.opened.signer.public_key()))
        if report.found:
            first = report.problems[0]
            yield f"The audit log is not as it was written: {first}; `keyquorum audit verify` tells all that it finds."


def _put_back(patient: Patient) -> Iterator[str]:
    """Of a database that nodes share, the others' logs would be needed: ``keyquorum audit compare``."""
    directory = DataDirectory(patient.path).audit
    if directory.is_dir() and not patient.opened.database.shared:
        yield from compared(patient.opened, patient.connection, [directory], patient.doubt).findings


_CHECKS: Final = (
    _root_access_key,
    _unused_access_keys,
    _old_access_keys,
    _key_policies,
    _trust_policies,
    _audit,
    _put_back,
)
