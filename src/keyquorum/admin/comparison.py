# SPDX-License-Identifier: Apache-2.0
"""The database held against the audit log: rows that carry their MAC, and are older than the last change of theirs that
was recorded. Somebody put them back (or put back the database, or a backup of it without saying so).

What came in the moments before the look, or was recorded by a node whose audit log was not given, is not told apart
from that; so the first is left out, and the second has to be given. A row that is not there says nothing.
"""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from keyquorum import lifecycle
from keyquorum.admin.offline import reading
from keyquorum.app import Opened
from keyquorum.audit import claims
from keyquorum.audit.claims import Claim, Claims, Subject
from keyquorum.audit.reading import Query, Shown, read, records
from keyquorum.audit.record import iso_second
from keyquorum.audit.signing import Verifier
from keyquorum.audit.verify import verify
from keyquorum.config import Settings
from keyquorum.errors import IntegrityError
from keyquorum.layout import DataDirectory
from keyquorum.model import GROUP, USER, Key, Principal
from keyquorum.store.outbox import Outbox
from keyquorum.store.store import Store

#: What a request takes beside waiting for its turn, in seconds.
_SLACK: Final = 1.0


class Compared(NamedTuple):
    """``findings``: sentences. ``subjects``: how much the records say anything of. ``shared``: whether other nodes may
    have records of their own."""

    findings: list[str]
    subjects: int
    shared: bool


def doubt_of(settings: Settings) -> float:
    """See ``claims``: what a request may take, in seconds."""
    return settings.lock_timeout + _SLACK


def compare(settings: Settings, others: Iterable[Path] = ()) -> Compared:
    """``others``: audit directories, or copies of them, of the other nodes. Raises ClientError, KMSError or OSError."""
    assert settings.data is not None
    own = DataDirectory(settings.data).audit
    with reading(settings) as opened, opened.database.read() as connection:
        return compared(opened, connection, [own, *others], doubt_of(settings))


def compared(opened: Opened, connection: sa.Connection, directories: list[Path], doubt: float) -> Compared:
    """``connection``: a snapshot that was begun a moment ago."""
    now, found = time.time(), Claims(doubt)
    findings = []
    for directory in directories:
        if verify(directory, Verifier(opened.signer.public_key())).found:
            findings.append(f"The audit log in {directory} is not whole: `keyquorum audit verify` tells what is wrong.")
    streams = [records(directory, Query()) for directory in directories]
    waiting = sorted(_waiting(opened.store, connection), key=lambda shown: shown.moment)
    for shown in heapq.merge(*streams, waiting, key=lambda shown: shown.moment):
        found.add(shown)
    for subject, claimed in found.of.items():
        if _last(claimed).moment < now - doubt:
            findings += _older(opened.store, connection, subject, claimed)
    return Compared(findings, len(found.of), opened.database.shared)


def _waiting(store: Store, connection: sa.Connection) -> Iterator[Shown]:
    """Records that are not in any file yet, of all nodes."""
    outbox = Outbox(store.mac)
    for writer in outbox.writers(connection):
        for record in outbox.waiting(connection, writer):
            shown = read(record.record)
            if shown is not None:
                yield shown


def _older(store: Store, connection: sa.Connection, subject: Subject, claimed: list[Claim]) -> Iterator[str]:
    what = f"{subject.kind.capitalize()} of {', '.join(subject.names)}"
    try:
        actual = _LOOKS[subject.kind](store, connection, subject.names)
    except IntegrityError as error:
        yield f"{what}: the database is not what keyquorum wrote: {error}."
        return
    if actual is None or any(_agrees(subject.kind, claim, actual) for claim in claimed):
        return
    last = _last(claimed)
    yield (
        f"{what}: {last.operation} of {iso_second(int(last.moment))} is the last change that was recorded, and the "
        "database does not say what that made of it: its row was put back, or the audit log lacks later changes."
    )


def _last(claimed: list[Claim]) -> Claim:
    return max(claimed, key=lambda claim: claim.moment)


def _agrees(kind: str, claim: Claim, actual: str) -> bool:
    if claim.value is None:
        return True
    return lifecycle.may_follow(claim.value, actual) if kind == claims.STATE else claim.value == actual


# What the database has of a subject: None if it has none of it.
_Look = Callable[[Store, sa.Connection, tuple[str, ...]], str | None]


def _key(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> Key | None:
    record = store.keys.load(connection, *names)
    return None if record is None else record.key


def _state(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    key = _key(store, connection, names)
    return None if key is None else key.state


def _deletion(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    key = _key(store, connection, names)
    if key is None:
        return None
    return claims.GONE if key.deletion_date is None else iso_second(int(key.deletion_date))


def _policy(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    record = store.keys.load(connection, *names)
    return None if record is None or record.policy is None else record.policy.document


def _grant(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    return None if store.grants.load(connection, *names) is None else claims.THERE


def _alias(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    alias = store.aliases.load(connection, *names)
    return None if alias is None else alias.key_id


def _access_key(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    found = store.access_keys.load(connection, *names)
    return None if found is None else found.status


def _principal(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> Principal | None:
    account, kind, name = names[:3]
    return store.identities.principal(connection, account, kind, name)


def _attached(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    found = _principal(store, connection, names)
    return None if found is None else claims.THERE if names[3] in found.attached else claims.GONE


def _inline(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    found = _principal(store, connection, names)
    return None if found is None else dict(found.inline).get(names[3], claims.GONE)


def _member(store: Store, connection: sa.Connection, names: tuple[str, ...]) -> str | None:
    account, _, name, group_name = names
    user = store.identities.principal(connection, account, USER, name)
    group = store.identities.principal(connection, account, GROUP, group_name)
    if user is None or group is None:
        return None
    return claims.THERE if group.principal_id in user.member_of else claims.GONE


_LOOKS: Final[dict[str, _Look]] = {
    claims.STATE: _state,
    claims.DELETION: _deletion,
    claims.POLICY: _policy,
    claims.GRANT: _grant,
    claims.ALIAS: _alias,
    claims.ACCESS_KEY: _access_key,
    claims.ATTACHED: _attached,
    claims.INLINE: _inline,
    claims.MEMBER: _member,
}
