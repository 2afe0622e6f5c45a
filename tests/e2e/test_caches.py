# SPDX-License-Identifier: Apache-2.0
"""What a cache holds is not told once it has changed: for each cache, a change that one process makes is what both
processes on its data directory answer by at once."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from people import ABLE, ADMIN, CLOSED, OPEN, Person, allow, document, naming, write_seed
from servers import ACCOUNT, Access, Production, signed_request

from keyquorum.app import Service
from keyquorum.config import Settings

pytestmark = pytest.mark.slow

CLERK, GUEST = Person("clerk"), Person("guest")
READS = document(allow("kms:DescribeKey"))
DENIED, UNKNOWN = "AccessDeniedException", "UnrecognizedClientException"


class Case(NamedTuple):
    """``access`` asks for ``key``, with a session token or without; once ``change`` is done it gets ``answer``."""

    access: Access
    key: str
    change: Callable[[], object]
    answer: str
    token: str | None = None


class World:
    """Two servers on one data directory. Changes go by the first: ``iam`` is its root's, ``admin`` and ``sts`` are the
    administrator's."""

    def __init__(self, server: Production) -> None:
        self.servers = (server, server.again())
        self.iam = server.client("iam")
        self.admin = server.client(access=ADMIN.access)
        self.sts = server.client("sts", ADMIN.access)

    def key(self, policy: str = OPEN) -> str:
        return str(self.admin.create_key(Policy=policy)["KeyMetadata"]["KeyId"])

    def answers(self, case: Case) -> list[str]:
        """What each says to DescribeKey: an error code, or "" for a success."""
        body = json.dumps({"KeyId": case.key}).encode()
        extra = {"X-Amz-Security-Token": case.token} if case.token else {}
        asked = [
            server.raw(signed_request(server.url, case.access, "DescribeKey", body, extra=extra))
            for server in self.servers
        ]
        return [answer.json.get("__type", "") for answer in asked]

    def session(self, role: str, **passed: Any) -> tuple[Access, str]:
        """Credentials of a session of a new role that may read keys."""
        trust = document({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"})
        self.iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
        self.iam.put_role_policy(RoleName=role, PolicyName="reads", PolicyDocument=READS)
        assumes = document(allow("sts:AssumeRole"))
        self.iam.put_user_policy(UserName=ADMIN.name, PolicyName="assumes", PolicyDocument=assumes)
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        made = self.sts.assume_role(RoleArn=arn, RoleSessionName="reading", **passed)["Credentials"]
        return Access(made["AccessKeyId"], made["SecretAccessKey"]), made["SessionToken"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("caches")
    seed = write_seed(directory, ADMIN, ABLE, CLERK, GUEST)
    world = World(Production(directory, "--seed", str(seed)))
    yield world
    for server in world.servers:
        server.discard()


def _keys(world: World) -> Case:
    key = world.key()
    return Case(ABLE.access, key, lambda: world.admin.put_key_policy(KeyId=key, Policy=CLOSED), DENIED)


def _aliases(world: World) -> Case:
    """The alias goes to a key that the caller may not read."""
    name = "alias/moved"
    world.admin.create_alias(AliasName=name, TargetKeyId=world.key())
    closed = world.key(CLOSED)
    return Case(ABLE.access, name, lambda: world.admin.update_alias(AliasName=name, TargetKeyId=closed), DENIED)


def _identities(world: World) -> Case:
    policy = {"UserName": CLERK.name, "PolicyName": "reads"}
    world.iam.put_user_policy(**policy, PolicyDocument=READS)
    return Case(CLERK.access, world.key(), lambda: world.iam.delete_user_policy(**policy), DENIED)


def _grants(world: World) -> Case:
    key = world.key(CLOSED)
    made = world.admin.create_grant(KeyId=key, GranteePrincipal=GUEST.arn, Operations=["DescribeKey"])
    return Case(GUEST.access, key, lambda: world.admin.revoke_grant(KeyId=key, GrantId=made["GrantId"]), DENIED)


def _access_keys(world: World) -> Case:
    made = world.iam.create_access_key(UserName=GUEST.name)["AccessKey"]
    access = Access(made["AccessKeyId"], made["SecretAccessKey"])
    named = {"UserName": GUEST.name, "AccessKeyId": access.key_id}
    key = world.key(naming(GUEST))
    return Case(access, key, lambda: world.iam.update_access_key(**named, Status="Inactive"), UNKNOWN)


def _sessions(world: World) -> Case:
    access, token = world.session("leaving")

    def leave() -> None:
        world.iam.delete_role_policy(RoleName="leaving", PolicyName="reads")
        world.iam.delete_role(RoleName="leaving")

    return Case(access, world.key(), leave, UNKNOWN, token)


def _policies(world: World) -> Case:
    """A managed policy that was passed when the session was opened."""
    arn = world.iam.create_policy(PolicyName="passed", PolicyDocument=READS)["Policy"]["Arn"]
    access, token = world.session("limited", PolicyArns=[{"arn": arn}])
    other = {"PolicyArn": arn, "PolicyDocument": document(allow("kms:ListKeys")), "SetAsDefault": True}
    return Case(access, world.key(), lambda: world.iam.create_policy_version(**other), DENIED, token)


CASES: dict[str, Callable[[World], Case]] = {
    "keys": _keys,
    "aliases": _aliases,
    "identities": _identities,
    "grants": _grants,
    "access_keys": _access_keys,
    "sessions": _sessions,
    "policies": _policies,
}


@pytest.mark.parametrize("cache", CASES)
def test_what_has_changed_is_not_answered_from_a_cache(world: World, cache: str) -> None:
    case = CASES[cache](world)
    assert world.answers(case) == ["", ""]
    case.change()
    assert world.answers(case) == [case.answer, case.answer]


def test_no_cache_is_left_out() -> None:
    service = Service(Settings(data=None))
    try:
        assert set(CASES) == {*service.store.caches, *service.authenticator.caches}
    finally:
        service.close()
