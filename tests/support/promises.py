# SPDX-License-Identifier: Apache-2.0
"""What the answered calls of a load promised, and whether a server keeps it.

A key, or a user, is changed by one client alone, one change after the other; after the first change that is not
answered nobody touches it any more. So what it must be like is known exactly: as after its last answered change, or, if
one was not answered, as before or after that one, as a whole. The audit log has one record of each answered change, and
one of an unanswered change if and only if that was made.
"""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError
from processes import audit_records

#: Parts of what a key or user is like. One that is left out may have any value.
View = dict[str, Any]

HOME: Final = "us-east-1"
_DECRYPTS: Final = "Enabled"


class State(NamedTuple):
    """After a change. ``at``: monotonic time of its answer, or of when it was given up. ``request_id`` is None if
    it was not answered; ``view`` is None where nothing is there."""

    at: float
    operation: str
    request_id: str | None
    view: View | None


class Secret(NamedTuple):
    at: float
    plaintext: bytes
    ciphertext: bytes


@dataclass
class Thing:
    """A key or a user, by the description or name that no other has. ``key_id`` is None where no answer told it, and of
    a user. ``retried``: whether a call was tried more than once, so that the log may have more."""

    name: str
    is_key: bool = True
    key_id: str | None = None
    states: list[State] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)
    retried: bool = False

    @property
    def view(self) -> View:
        return self.states[-1].view or {}

    @property
    def in_doubt(self) -> bool:
        return bool(self.states) and self.states[-1].request_id is None

    def possible(self, begun: float | None = None, ended: float | None = None) -> list[State]:
        """In which it may be found: now, or in a snapshot that was taken at some time between two."""
        if begun is None or ended is None:
            answered = [state for state in self.states if state.request_id is not None][-1:]
            return [*(answered or [NOTHING]), *self.states[-1:]] if self.in_doubt else answered
        before = sum(state.at < begun for state in self.states)
        # A change that was answered later may have been made before.
        within = sum(state.at <= ended for state in self.states) + 1
        return [NOTHING, *self.states][before : within + 1]


NOTHING: Final = State(0.0, "", None, None)


class Clients(NamedTuple):
    """Of one server: ``kms`` makes one for a Region."""

    kms: Callable[[str], Any]
    iam: Any


class Ledger:
    """All that was promised on one database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.things: list[Thing] = []

    def add(self, thing: Thing) -> Thing:
        with self._lock:
            self.things.append(thing)
        return thing

    @property
    def answered(self) -> list[State]:
        return [state for thing in list(self.things) for state in list(thing.states) if state.request_id is not None]

    def look(self, clients: Clients) -> tuple[dict[str, State], set[str]]:
        """While nothing changes: the state in which each is found, of those that were promised; and all keys."""
        kms = clients.kms(HOME)
        listed = _identify(kms, self.things)
        made = {thing.name: state for thing in self.things if (state := _held(clients, thing)) is not None}
        known = {thing.key_id for thing in self.things}
        assert listed <= known, f"keys that nobody asked for: {listed - known}"
        return made, listed

    def check(self, clients: Clients, data: Iterable[Path], others: Sequence[Clients] = ()) -> dict[str, int]:
        """Everything, while nothing changes. ``data``: the data directories of all nodes. ``others``: of the nodes
        beside the first. What was counted. Keys are in any state afterwards: to be used they are enabled."""
        made, listed = self.look(clients)
        for other in others:
            self.look(other)
        keys = [thing for thing in self.things if thing.key_id is not None]
        opened = sum(_opens(clients, thing, thing.secrets) for thing in keys)
        time.sleep(1 if others else 0)  # within a second the others know which keys are enabled again
        for other in others:
            opened += sum(_opens(other, thing, thing.secrets[-1:]) for thing in keys)
        records = [record for directory in data for record in audit_records(directory)]
        _check_records(records, self.things, made, listed)
        return {
            "things": len(self.things),
            "changes": len(self.answered),
            "in doubt": sum(thing.in_doubt for thing in self.things),
            "ciphertexts": opened,
            "records": len(records),
        }

    def check_snapshot(self, clients: Clients, begun: float, ended: float) -> tuple[str, str, int]:
        """On a server that has what was there at some time between two. The checksums, as promised and as found, of
        what nothing was done to after the first, and of how many that is."""
        _identify(clients.kms(HOME), self.things)
        promised, found = [], []
        for thing in self.things:
            state = _held(clients, thing, begun, ended)
            possible = thing.possible(begun, ended)
            if len(possible) == 1 and possible[0].view is not None:
                promised.append(_line(thing, possible[0]))
                found.append(_line(thing, state))
            if thing.is_key and state is not None and state.view is not None:
                _opens(clients, thing, [secret for secret in thing.secrets if secret.at < begun])
        return _checksum(promised), _checksum(found), len(promised)


def _line(thing: Thing, state: State | None) -> str:
    view = None if state is None else state.view
    secrets = [secret.ciphertext.hex() for secret in thing.secrets]
    return json.dumps([thing.name, thing.key_id, view, secrets], sort_keys=True, default=str)


def _checksum(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _identify(kms: Any, things: list[Thing]) -> set[str]:
    """Give those that may have been created their key IDs; all the keys that there are."""
    listed = {key["KeyId"] for page in kms.get_paginator("list_keys").paginate() for key in page["Keys"]}
    by_name = {thing.name: thing for thing in things if thing.is_key and thing.key_id is None}
    for key_id in listed - {thing.key_id for thing in things}:
        thing = by_name.get(kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"])
        if thing is not None:
            assert thing.key_id is None, "one request made two keys"
            thing.key_id = key_id
    return listed


def _held(clients: Clients, thing: Thing, begun: float | None = None, ended: float | None = None) -> State | None:
    """The state of those possible in which it is; fails if it is in none of them. None if nothing was asked for."""
    possible = thing.possible(begun, ended)
    if not possible:
        return None
    seen = _seen(clients, thing)
    for state in reversed(possible):
        if _agrees(state.view, seen):
            return state
    raise AssertionError((thing.name, thing.key_id, "found", seen, "promised", possible))


def _agrees(promised: View | None, seen: View | None) -> bool:
    if promised is None or seen is None:
        return promised is seen
    return all(seen[part] == value for part, value in promised.items())


def _seen(clients: Clients, thing: Thing) -> View | None:
    try:
        return _seen_key(clients.kms(HOME), thing) if thing.is_key else _seen_user(clients.iam, thing)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NotFoundException", "NoSuchEntity"):
            return None
        raise


def _seen_key(kms: Any, thing: Thing) -> View | None:
    if thing.key_id is None:
        return None
    key = {"KeyId": thing.key_id}
    described = kms.describe_key(**key)["KeyMetadata"]
    regions = described.get("MultiRegionConfiguration", {}).get("ReplicaKeys", [])
    own = described["Origin"] == "AWS_KMS"
    return {
        "own": own,
        "multi": described["MultiRegion"],
        "state": described["KeyState"],
        "date": described.get("DeletionDate"),
        "description": described["Description"],
        "replicas": sorted(replica["Region"] for replica in regions),
        "tags": {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(**key)["Tags"]},
        "aliases": sorted(alias["AliasName"] for alias in kms.list_aliases(**key)["Aliases"]),
        "grants": sorted(grant["Name"] for grant in kms.list_grants(**key)["Grants"]),
        "policy": kms.get_key_policy(**key)["Policy"],
        "rotations": len(kms.list_key_rotations(**key)["Rotations"]) if own else 0,
    }


def _seen_user(iam: Any, thing: Thing) -> View:
    name = {"UserName": thing.name}
    user = iam.get_user(**name)["User"]
    policies = iam.list_user_policies(**name)["PolicyNames"]
    documents = {each: _read(iam.get_user_policy(**name, PolicyName=each)["PolicyDocument"]) for each in policies}
    return {"tags": {tag["Key"]: tag["Value"] for tag in user.get("Tags", [])}, "policies": documents}


def _read(document: Any) -> Any:
    return json.loads(document) if isinstance(document, str) else document


def _opens(clients: Clients, thing: Thing, secrets: list[Secret]) -> int:
    """Have every ciphertext decrypted, in every Region where the key is; how many there were."""
    if not secrets:
        return 0
    kms = clients.kms(HOME)
    key = {"KeyId": thing.key_id}
    described = kms.describe_key(**key)["KeyMetadata"]
    if described["KeyState"] != _DECRYPTS:
        if "DeletionDate" in described:
            kms.cancel_key_deletion(**key)
        kms.enable_key(**key)
    places = [HOME, *(r["Region"] for r in described.get("MultiRegionConfiguration", {}).get("ReplicaKeys", []))]
    for region in places:
        for secret in secrets:
            opened = clients.kms(region).decrypt(CiphertextBlob=secret.ciphertext, **key)
            assert opened["Plaintext"] == secret.plaintext, (thing.name, region)
    return len(secrets)


def _check_records(
    records: list[dict[str, Any]], things: list[Thing], made: dict[str, State], listed: set[str]
) -> None:
    """One record of each change that was made, and none of another."""
    events = Counter(record["eventID"] for record in records)
    twice = [record for record in records if events[record["eventID"]] > 1]
    assert not twice, twice
    # What the checker itself did came later, and its requests are in nobody's promise.
    changes = [record for record in records if not record["readOnly"] and "errorCode" not in record]
    told = Counter((record["requestID"], record["eventName"]) for record in changes)
    promised = [(state.request_id, state.operation) for thing in things for state in thing.states if state.request_id]
    wrong = [(promise, told[promise]) for promise in promised if told[promise] != 1]
    assert not wrong, wrong
    created = [_key_ids(record) for record in changes if record["eventName"] == "CreateKey"]
    assert sorted(key_id for found in created for key_id in found) == sorted(listed), "keys, and records of creations"
    by_thing: dict[str, Counter[str]] = {}
    own = {state.operation for thing in things for state in thing.states}
    names = {thing.key_id or thing.name: thing.name for thing in things}
    for record in changes:
        user = (record.get("requestParameters") or {}).get("userName")
        for name in {names[each] for each in (*_key_ids(record), user) if each in names}:
            by_thing.setdefault(name, Counter())[record["eventName"]] += record["eventName"] in own
    for thing in things:
        answered = [state for state in thing.states if state.request_id is not None]
        if thing.in_doubt and made.get(thing.name) is thing.states[-1]:
            answered.append(thing.states[-1])
        expected = Counter(state.operation for state in answered)
        found = +by_thing.get(thing.name, Counter())
        # To decrypt what is in a key that is not enabled, the checker enabled it.
        for operation in ("EnableKey", "CancelKeyDeletion"):
            found[operation] = min(found[operation], expected[operation])
        assert found >= expected if thing.retried else +found == expected, (+found, expected, thing)


def _key_ids(record: dict[str, Any]) -> set[str]:
    arns = [resource["ARN"] for resource in record.get("resources") or []]
    return {arn.rpartition(":key/")[2] for arn in arns if ":key/" in arn}
