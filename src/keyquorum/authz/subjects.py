# SPDX-License-Identifier: Apache-2.0
"""From a caller, and what was loaded of its identity, to the subject of a decision. Subjects are kept with the record
that they were made from, and their policies as long as anybody has them."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final
from weakref import WeakValueDictionary

from keyquorum.authz.compiled import Compiled, Subject
from keyquorum.authz.matching import fold
from keyquorum.authz.policy import parse_identity_policy
from keyquorum.authz.work import UNBOUNDED, Work
from keyquorum.model import Caller, IdentityRecord, Principal

_SESSIONS: Final = 256
_NOTHING: Final = '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
#: Units of work for each character of a policy that is made ready.
READING: Final = 256

#: By its text: one that many principals have is made ready once, and goes when the last of them does.
_READY: Final[WeakValueDictionary[str, Compiled]] = WeakValueDictionary()


def subject_of(
    caller: Caller, record: IdentityRecord | None, passed: tuple[str | None, ...] = (), work: Work = UNBOUNDED
) -> Subject:
    """``record`` is None for who has no policies: a root, a service, a web identity. ``passed`` are the documents of
    the managed session policies, None for one that is gone, which then allows nothing. Raises TooMuchWork."""
    if record is None:
        federated = None if caller.session is None else caller.session.federated
        return _without_policies(caller.kind, caller.arn, caller.account, caller.principal_id, federated)
    # A session's own policies never change, and its access key ID is its own; a user's other keys make one subject.
    name = caller.access_key_id if caller.session is not None else "subject"
    known: tuple[Subject, tuple[str | None, ...]] | None = record.ready.get(name)
    if known is not None and known[1] == passed:
        return known[0]
    made = _made(caller, record, passed, work)
    while len(record.ready) >= _SESSIONS:
        try:
            del record.ready[next(iter(record.ready))]
        except (KeyError, StopIteration, RuntimeError):
            break  # another thread did at the same moment
    record.ready[name] = made, passed
    return made


@lru_cache(maxsize=256)
def _without_policies(kind: str, arn: str, account: str, principal_id: str, federated: str | None) -> Subject:
    return Subject(kind, arn, account, principal_id, federated=federated)


def _made(caller: Caller, record: IdentityRecord, passed: tuple[str | None, ...], work: Work) -> Subject:
    principal, session = record.principal, caller.session
    boundary = principal.boundary
    session_policies: tuple[str | None, ...] = (*session.policies, *passed) if session is not None else ()
    return Subject(
        kind=caller.kind,
        arn=caller.arn,
        account=caller.account,
        principal_id=caller.principal_id,
        role_arn=caller.role_arn,
        role_id=caller.identity_id if caller.role_arn is not None else None,
        federated=session.federated if session is not None else None,
        policies=tuple([_compiled(text, work) for _, text in documents(record)]),
        # A boundary that is gone bounds to nothing: it must not free whom it bounded.
        boundary=None if boundary is None else _compiled(record.managed.get(boundary), work),
        sessions=tuple([_compiled(text, work) for text in session_policies]),
        tags=_tags(principal, session.tags if session is not None else ()),
        issued_at=session.issued_at if session is not None else None,
        mfa_at=session.mfa_at if session is not None else None,
        source_identity=session.source_identity if session is not None else None,
        claims=session.claims if session is not None else (),
    )


def documents(record: IdentityRecord) -> list[tuple[str, str]]:
    """The identity-based policies of a principal and of its groups, each with what it is called."""
    found: list[tuple[str, str]] = []
    for holder in (record.principal, *record.groups):
        found += [(f"{holder.arn} inline policy {name}", text) for name, text in holder.inline]
        found += [(arn, record.managed[arn]) for arn in holder.attached if arn in record.managed]
    return found


def _compiled(text: str | None, work: Work) -> Compiled:
    text = text or _NOTHING
    found = _READY.get(text)
    if found is None:
        work.spend(READING * len(text))
        found = _READY[text] = Compiled(parse_identity_policy(text))
    return found


def _tags(principal: Principal, passed: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """A session's tags come before its role's of the same key, however that is capitalised (IAM user guide, "Pass
    session tags in AWS STS")."""
    own: dict[str, Any] = {fold(key): (key, value) for key, value in principal.tags}
    return tuple((own | {fold(key): (key, value) for key, value in passed}).values())
