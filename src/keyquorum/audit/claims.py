# SPDX-License-Identifier: Apache-2.0
"""What audit records say that the database must hold: of each key, grant, alias, access key and identity, what the last
recorded change made of it. A row that says something older was put back by somebody else.

Records bear the time at which their request came, and requests wait for each other: two of which the times are closer
than ``doubt`` may have been carried out in either order, and what either says is then accepted. Of what a record does
not tell (a document that was cut, a state that depends on more) anything is accepted.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from keyquorum.audit.reading import Shown
from keyquorum.model import GROUP, ROLE, USER

#: What a claim says of something that is not there any more.
GONE: Final = ""
THERE: Final = "there"

STATE: Final = "state"
DELETION: Final = "deletion date"
POLICY: Final = "key policy"
GRANT: Final = "grant"
ALIAS: Final = "alias"
ACCESS_KEY: Final = "access key"
ATTACHED: Final = "attached policy"
INLINE: Final = "inline policy"
MEMBER: Final = "membership"

#: How IAM's operations and members name kinds of principals.
_NOUNS: Final = {USER: "User", GROUP: "Group", ROLE: "Role"}
_OF_PRINCIPALS: Final = (ATTACHED, INLINE, MEMBER)
_WRITES: Final = b'"readOnly":false'


class Subject(NamedTuple):
    """What is claimed about: one of the kinds above, and what names it."""

    kind: str
    names: tuple[str, ...]


class Claim(NamedTuple):
    """``moment``: in seconds since the epoch. ``value``: None where nothing is known of it; of a state, the operation
    that left it."""

    moment: float
    operation: str
    value: str | None


class _Resource(msgspec.Struct):
    ARN: str = ""


class _Milliseconds(msgspec.Struct):
    milliseconds: int = 0


class _Change(msgspec.Struct, rename="camel"):
    event_name: str
    event_time: str
    aws_region: str
    recipient_account_id: str
    error_code: str | None = None
    request_parameters: dict[str, Any] | None = None
    response_elements: dict[str, Any] | None = None
    service_event_details: dict[str, Any] | None = None
    resources: list[_Resource] = []
    additional_event_data: _Milliseconds = msgspec.field(default_factory=_Milliseconds)

    @property
    def moment(self) -> float:
        return _seconds(self.event_time) + self.additional_event_data.milliseconds / 1000

    def asked(self, name: str) -> str | None:
        return (self.request_parameters or {}).get(name)

    def answered(self, name: str) -> str | None:
        return (self.response_elements or {}).get(name)

    def document(self, name: str) -> str | None:
        """None if it is not told whole."""
        parameters = self.request_parameters or {}
        return None if parameters.get("omitted") else parameters.get(name)

    def key(self, number: int = 0) -> tuple[str, str]:
        """Key ID and Region of a key that it was about."""
        return self.resources[number].ARN.rpartition("/")[2], self.aws_region


_decoder: Final = msgspec.json.Decoder(_Change)
_Found = Iterator[tuple[Subject, str | None]]


def _state(change: _Change) -> _Found:
    yield Subject(STATE, change.key()), change.event_name


def _unknown_state(change: _Change) -> _Found:
    yield Subject(STATE, change.key()), None


def _scheduled(change: _Change) -> _Found:
    yield from _state(change)
    yield Subject(DELETION, change.key()), change.answered("deletionDate")


def _cancelled(change: _Change) -> _Found:
    yield from _state(change)
    yield Subject(DELETION, change.key()), GONE


def _key_policy(change: _Change) -> _Found:
    yield Subject(POLICY, change.key()), change.document("policy")


def _granted(change: _Change) -> _Found:
    yield Subject(GRANT, (change.answered("grantId") or "",)), THERE


def _revoked(change: _Change) -> _Found:
    """One that was retired by its token alone is not named in the record."""
    grant_id = change.asked("grantId")
    if grant_id is not None:
        yield Subject(GRANT, (grant_id,)), GONE


def _alias(change: _Change) -> Subject:
    return Subject(ALIAS, (change.recipient_account_id, change.aws_region, change.asked("aliasName") or ""))


def _pointed(change: _Change) -> _Found:
    yield _alias(change), change.key(-1)[0]


def _alias_deleted(change: _Change) -> _Found:
    yield _alias(change), GONE


def _access_key(change: _Change) -> _Found:
    yield Subject(ACCESS_KEY, (change.asked("accessKeyId") or "",)), change.asked("status")


def _access_key_deleted(change: _Change) -> _Found:
    yield Subject(ACCESS_KEY, (change.asked("accessKeyId") or "",)), GONE


def _principal(change: _Change, kind: str) -> tuple[str, str, str]:
    return change.recipient_account_id, kind, change.asked(f"{_NOUNS[kind].lower()}Name") or ""


def _attachment(kind: str, value: str) -> Callable[[_Change], _Found]:
    def effect(change: _Change) -> _Found:
        yield Subject(ATTACHED, (*_principal(change, kind), change.asked("policyArn") or "")), value

    return effect


def _inline(kind: str, *, put: bool) -> Callable[[_Change], _Found]:
    def effect(change: _Change) -> _Found:
        value = change.document("policyDocument") if put else GONE
        yield Subject(INLINE, (*_principal(change, kind), change.asked("policyName") or "")), value

    return effect


def _membership(value: str) -> Callable[[_Change], _Found]:
    def effect(change: _Change) -> _Found:
        yield Subject(MEMBER, (*_principal(change, USER), change.asked("groupName") or "")), value

    return effect


_EFFECTS: Final[dict[str, Callable[[_Change], _Found]]] = {
    "EnableKey": _state,
    "DisableKey": _state,
    "ScheduleKeyDeletion": _scheduled,
    "CancelKeyDeletion": _cancelled,
    "ImportKeyMaterial": _unknown_state,
    "DeleteImportedKeyMaterial": _unknown_state,
    "DeleteExpiredKeyMaterial": _unknown_state,
    "PutKeyPolicy": _key_policy,
    "CreateGrant": _granted,
    "RevokeGrant": _revoked,
    "RetireGrant": _revoked,
    "CreateAlias": _pointed,
    "UpdateAlias": _pointed,
    "DeleteAlias": _alias_deleted,
    "UpdateAccessKey": _access_key,
    "DeleteAccessKey": _access_key_deleted,
    "AddUserToGroup": _membership(THERE),
    "RemoveUserFromGroup": _membership(GONE),
    **{f"Attach{noun}Policy": _attachment(kind, THERE) for kind, noun in _NOUNS.items()},
    **{f"Detach{noun}Policy": _attachment(kind, GONE) for kind, noun in _NOUNS.items()},
    **{f"Put{noun}Policy": _inline(kind, put=True) for kind, noun in _NOUNS.items()},
    **{f"Delete{noun}Policy": _inline(kind, put=False) for kind, noun in _NOUNS.items()},
}


class Claims:
    """``doubt``: in seconds. ``of``: the last claims about each subject, of which any may be the last of all."""

    def __init__(self, doubt: float) -> None:
        self._doubt = doubt
        self.of: dict[Subject, list[Claim]] = {}

    def add(self, shown: Shown) -> None:
        """A record, about in the order of time."""
        if _WRITES not in shown.line:
            return
        change = _decoder.decode(shown.line)
        if change.error_code is not None:
            return
        effect = _EFFECTS.get(change.event_name)
        if effect is not None:
            for subject, value in effect(change):
                self._claim(subject, Claim(change.moment, change.event_name, value))
        elif change.event_name == "RestoreBackup":
            self._restored(change)
        elif change.event_name in ("UpdateUser", "UpdateGroup"):
            self._renamed(change)

    def _claim(self, subject: Subject, claim: Claim) -> None:
        claims = [*self.of.get(subject, ()), claim]
        last = max(claim.moment for claim in claims)
        self.of[subject] = [claim for claim in claims if claim.moment >= last - self._doubt]

    def _restored(self, change: _Change) -> None:
        """What was changed after the backup is as it was before, and rightly so."""
        backup = (change.service_event_details or {}).get("backupTime", "")
        since = (_seconds(backup) if backup else 0.0) - self._doubt
        for subject, claims in list(self.of.items()):
            if any(claim.moment >= since for claim in claims):
                del self.of[subject]

    def _renamed(self, change: _Change) -> None:
        noun = change.event_name.removeprefix("Update")
        names = {change.asked(f"{noun.lower()}Name"), change.asked(f"new{noun}Name")}
        for subject in [s for s in self.of if s.kind in _OF_PRINCIPALS and names & set(s.names[2:])]:
            del self.of[subject]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
