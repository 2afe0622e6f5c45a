# SPDX-License-Identifier: Apache-2.0
"""The load of the fault tests: clients that make keys and users, and change them in every way, and write down what each
answer promised. A call is answered, or is not, or was never sent; any other refusal is a failure of the server."""

import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, HTTPClientError
from matrix import wrap
from promises import HOME, Clients, Ledger, Secret, State, Thing, View
from servers import ACCOUNT, Access

from keyquorum.authz.policy import default_key_policy

_AWAY: Final = "eu-west-1"
_POLICY: Final = json.loads(default_key_policy(ACCOUNT))
_DENIED: Final = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}
_ALGORITHM: Final = "RSAES_OAEP_SHA_256"
#: Changes of one key, and keys of one client that live at once.
_CHANGES: Final = 12
_LIVE: Final = 4
#: A fault of the server's own, which nothing that is broken around it excuses.
_ITS_OWN: Final = "KMSInternalException"
#: AWS allows 25 rotations on demand of one key.
_ROTATIONS: Final = 3


class Call(NamedTuple):
    """A change: the operation as boto3 and the audit log call it, its members, and the view after it."""

    method: str
    operation: str
    members: dict[str, Any]
    after: View


class NotSent(Exception):
    """Nobody was there."""


class NotAnswered(Exception):
    """Whether it was done nobody knows."""


def clients(url: str, root: Access, attempts: int = 1) -> Clients:
    """``attempts``: how often a call is tried before it counts as not answered."""
    made: dict[str, Any] = {}
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    session = boto3.Session()

    def client(service: str, region: str) -> Any:
        if service + region not in made:
            made[service + region] = session.client(
                service,
                endpoint_url=url,
                aws_access_key_id=root.key_id,
                aws_secret_access_key=root.secret,
                region_name=region,
                config=Config(retries=retries, read_timeout=30, connect_timeout=5),
            )
        return made[service + region]

    return Clients(lambda region: client("kms", region), client("iam", HOME))


# -- what may be done next to a key, each from what it is like now


def _described(thing: Thing, dice: random.Random) -> Call:
    text = f"{thing.name} {dice.random()}"
    return Call("update_key_description", "UpdateKeyDescription", {"Description": text}, {"description": text})


def _tagged(thing: Thing, dice: random.Random) -> Call:
    key, value = f"t{dice.randrange(3)}", str(dice.random())
    tags = {**thing.view["tags"], key: value}
    return Call("tag_resource", "TagResource", {"Tags": [{"TagKey": key, "TagValue": value}]}, {"tags": tags})


def _untagged(thing: Thing, dice: random.Random) -> Call:
    tags = dict(thing.view["tags"])
    gone = dice.choice(sorted(tags))
    del tags[gone]
    return Call("untag_resource", "UntagResource", {"TagKeys": [gone]}, {"tags": tags})


def _named(thing: Thing, _dice: random.Random) -> Call:
    alias = f"alias/{thing.name}/{len(thing.states)}"
    members = {"AliasName": alias, "TargetKeyId": thing.key_id, "KeyId": None}
    return Call("create_alias", "CreateAlias", members, {"aliases": sorted([*thing.view["aliases"], alias])})


def _unnamed(thing: Thing, dice: random.Random) -> Call:
    alias = dice.choice(thing.view["aliases"])
    left = [each for each in thing.view["aliases"] if each != alias]
    return Call("delete_alias", "DeleteAlias", {"AliasName": alias, "KeyId": None}, {"aliases": left})


def _granted(thing: Thing, _dice: random.Random) -> Call:
    name = f"g{len(thing.states)}"
    members = {"GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:root", "Operations": ["Encrypt"], "Name": name}
    return Call("create_grant", "CreateGrant", members, {"grants": sorted([*thing.view["grants"], name])})


def _policed(thing: Thing, _dice: random.Random) -> Call:
    policy = json.dumps({**_POLICY, "Id": f"{thing.name} {len(thing.states)}"})
    return Call("put_key_policy", "PutKeyPolicy", {"Policy": policy}, {"policy": policy})


def _disabled(_thing: Thing, _dice: random.Random) -> Call:
    return Call("disable_key", "DisableKey", {}, {"state": "Disabled"})


def _enabled(_thing: Thing, _dice: random.Random) -> Call:
    return Call("enable_key", "EnableKey", {}, {"state": "Enabled"})


def _rotated(thing: Thing, _dice: random.Random) -> Call:
    return Call("rotate_key_on_demand", "RotateKeyOnDemand", {}, {"rotations": thing.view["rotations"] + 1})


def _doomed(_thing: Thing, dice: random.Random) -> Call:
    days = dice.randint(7, 30)
    return Call(
        "schedule_key_deletion", "ScheduleKeyDeletion", {"PendingWindowInDays": days}, {"state": "PendingDeletion"}
    )


def _spared(_thing: Thing, _dice: random.Random) -> Call:
    return Call("cancel_key_deletion", "CancelKeyDeletion", {}, {"state": "Disabled", "date": None})


def _replicated(_thing: Thing, _dice: random.Random) -> Call:
    return Call("replicate_key", "ReplicateKey", {"ReplicaRegion": _AWAY}, {"replicas": [_AWAY]})


def _lives(view: View) -> bool:
    return view["state"] in ("Enabled", "Disabled")


_NEXT: Final[tuple[tuple[Callable[[Thing, random.Random], Call], Callable[[View], bool]], ...]] = (
    (_described, _lives),
    (_tagged, _lives),
    (_untagged, lambda view: _lives(view) and len(view["tags"]) > 1),
    (_named, lambda view: _lives(view) and len(view["aliases"]) < 3),
    (_unnamed, lambda view: bool(view["aliases"])),
    (_granted, lambda view: view["state"] == "Enabled" and len(view["grants"]) < 3),
    (_policed, _lives),
    (_disabled, lambda view: view["state"] == "Enabled"),
    (_enabled, lambda view: view["state"] == "Disabled"),
    (_rotated, lambda view: view["state"] == "Enabled" and view["own"] and view["rotations"] < _ROTATIONS),
    (_doomed, lambda view: _lives(view) and not view["replicas"]),
    (_spared, lambda view: view["state"] == "PendingDeletion"),
    (_replicated, lambda view: view["state"] == "Enabled" and view["multi"] and not view["replicas"]),
)


class Load:
    """``urls``: of the nodes, whose clients each keep to one. ``pause``: seconds between the calls of one client."""

    def __init__(
        self,
        ledger: Ledger,
        urls: Sequence[str],
        root: Access,
        *,
        workers: int = 4,
        attempts: int = 1,
        seed: int = 0,
        pause: float = 0.005,
    ) -> None:
        self._ledger = ledger
        self._root, self._attempts, self._pause = root, attempts, pause
        self._stop = threading.Event()
        self.failures: list[str] = []
        #: When each answered change was asked for, and when it was answered, monotonic; and of which node.
        self.answers: list[tuple[float, float, str]] = []
        self.unanswered = 0
        self._numbers = itertools.count()
        self._threads = [
            threading.Thread(target=self._work, args=(urls[number % len(urls)], f"{seed}-{number}"))
            for number in range(workers)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def await_changes(self, count: int, within: float = 30.0) -> None:
        """Until so many more have been answered."""
        before, deadline = len(self.answers), time.monotonic() + within
        while len(self.answers) < before + count:
            assert self.failures == [], self.failures
            assert time.monotonic() < deadline, "changes are not answered any more"
            time.sleep(0.002)

    def recovered(self, since: float, within: float, url: str | None = None) -> float:
        """Seconds from a moment to the answer of the first change that was asked for after it, of a certain node if
        ``url`` names one; fails if there is none within so many."""
        while True:
            assert self.failures == [], self.failures
            found = [each for each in list(self.answers) if each[0] >= since and url in (None, each[2])]
            late = [answered - since for _, answered, _ in found]
            if late:
                return min(late)
            assert time.monotonic() < since + within, f"no change is answered {within} s later"
            time.sleep(0.005)

    # -- one client

    def _work(self, url: str, name: str) -> None:
        dice = random.Random(name)
        try:
            where = clients(url, self._root, self._attempts)
            live: list[Thing] = []
            while not self._stop.wait(self._pause):
                try:
                    self._turn(where, live, name, dice)
                except NotSent:
                    self._stop.wait(0.02)
                except NotAnswered:
                    self._stop.wait(0.05)
                    live[:] = [thing for thing in live if not thing.in_doubt]
        except Exception as error:  # it is shown by the test
            self.failures.append(f"{type(error).__name__}: {error}")

    def _turn(self, where: Clients, live: list[Thing], name: str, dice: random.Random) -> None:
        if len(live) < _LIVE:
            kind = dice.choices((self._create, self._create_external, self._create_user), (12, 1, 2))[0]
            thing = kind(where, f"{name}-{next(self._numbers)}", dice)
            if thing is not None:
                live.append(thing)
            return
        thing = dice.choice(live)
        if dice.random() < 0.4 and thing.view["state"] == "Enabled":
            self._use(where, thing, dice)
            return
        possible = [call for call, when in _NEXT if when(thing.view)]
        call = dice.choice(possible)(thing, dice)
        self._change(where.kms(HOME), thing, call)
        if len(thing.states) >= _CHANGES:
            live.remove(thing)

    def _use(self, where: Clients, thing: Thing, dice: random.Random) -> None:
        kms = where.kms(HOME)
        if thing.secrets and dice.random() < 0.5:
            secret = dice.choice(thing.secrets)
            opened = self._ask(kms.decrypt, CiphertextBlob=secret.ciphertext)
            assert opened["Plaintext"] == secret.plaintext, thing
            return
        plaintext = os.urandom(16)
        made = self._ask(kms.encrypt, KeyId=thing.key_id, Plaintext=plaintext)
        thing.secrets.append(Secret(time.monotonic(), plaintext, made["CiphertextBlob"]))

    def _create(self, where: Clients, name: str, dice: random.Random, origin: str = "AWS_KMS") -> Thing:
        thing, multi = Thing(name), origin == "AWS_KMS" and dice.random() < 0.3
        after: View = {
            "state": "Enabled" if origin == "AWS_KMS" else "PendingImport",
            "description": name,
            "tags": {"t0": name},
            "aliases": [],
            "grants": [],
            "replicas": [],
            "rotations": 0,
            "date": None,
            "own": origin == "AWS_KMS",
            "multi": multi,
        }
        tags = [{"TagKey": "t0", "TagValue": name}]
        members = {"Description": name, "Tags": tags, "MultiRegion": multi, "Origin": origin}
        self._change(where.kms(HOME), thing, Call("create_key", "CreateKey", {**members, "KeyId": None}, after))
        return thing

    def _create_external(self, where: Clients, name: str, dice: random.Random) -> Thing:
        thing, kms = self._create(where, name, dice, "EXTERNAL"), where.kms(HOME)
        how = {"WrappingAlgorithm": _ALGORITHM, "WrappingKeySpec": "RSA_2048"}
        parameters = self._ask(kms.get_parameters_for_import, KeyId=thing.key_id, **how)
        members = {
            "ImportToken": parameters["ImportToken"],
            "EncryptedKeyMaterial": wrap(parameters["PublicKey"], _ALGORITHM, os.urandom(32)),
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        }
        self._change(kms, thing, Call("import_key_material", "ImportKeyMaterial", members, {"state": "Enabled"}))
        return thing

    def _create_user(self, where: Clients, name: str, _dice: random.Random) -> None:
        thing = Thing(name, is_key=False)
        members = {"UserName": name, "Tags": [{"Key": "n", "Value": name}]}
        after: View = {"tags": {"n": name}, "policies": {}}
        self._change(where.iam, thing, Call("create_user", "CreateUser", members, after))
        members = {"UserName": name, "PolicyName": name, "PolicyDocument": json.dumps(_DENIED)}
        self._change(where.iam, thing, Call("put_user_policy", "PutUserPolicy", members, {"policies": {name: _DENIED}}))

    def _change(self, client: Any, thing: Thing, call: Call) -> None:
        members = {"KeyId": thing.key_id, **call.members} if thing.is_key else call.members
        members = {name: value for name, value in members.items() if value is not None}
        view = {**(thing.view if thing.states else {}), **call.after}
        if call.operation == "ScheduleKeyDeletion":
            del view["date"]  # which the answer tells
        begun = time.monotonic()
        try:
            told = self._ask(getattr(client, call.method), **members)
        except NotAnswered:
            self.unanswered += 1
            self._note(thing, State(time.monotonic(), call.operation, None, view))
            raise
        if "KeyMetadata" in told:
            thing.key_id = told["KeyMetadata"]["KeyId"]
        if "DeletionDate" in told:
            view["date"] = told["DeletionDate"]
        meta = told["ResponseMetadata"]
        thing.retried |= meta["RetryAttempts"] > 0
        answered = time.monotonic()
        self._note(thing, State(answered, call.operation, meta["RequestId"], view))
        self.answers.append((begun, answered, client.meta.endpoint_url))

    def _note(self, thing: Thing, state: State) -> None:
        if not thing.states:
            self._ledger.add(thing)
        thing.states.append(state)

    def _ask(self, call: Callable[..., Any], **members: Any) -> Any:
        try:
            return call(**members)
        except (EndpointConnectionError, ConnectTimeoutError) as error:
            raise NotSent from error
        except HTTPClientError as error:
            raise NotAnswered from error
        except ClientError as error:
            answer = error.response
            if answer["ResponseMetadata"]["HTTPStatusCode"] >= 500 and answer["Error"]["Code"] != _ITS_OWN:
                raise NotAnswered from error
            raise
