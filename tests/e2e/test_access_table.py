# SPDX-License-Identifier: Apache-2.0
"""Each operation of the registry: refused to whom nothing allows it, allowed by each way that AWS has, and across
accounts where AWS has that and nowhere else. In this process, and a sample of them over a socket.

Sources: KMS developer guide, "KMS key access and permissions", "Default key policy", "Allowing users in other accounts
to use a KMS key" and "Permissions reference"; API reference, "Cross-account use" of each operation.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from access_rows import ROWS, crosses_accounts, grantable, permissions, prepare
from matrix import outcome
from people import (
    ABLE,
    ADMIN,
    CLOSED,
    HELPER,
    NOBODY,
    OPEN,
    OTHER,
    STRANGER,
    VISITOR,
    Person,
    World,
    allow,
    closed,
    inside,
    naming,
    write_seed,
)
from servers import Production

from keyquorum.ops import registry

pytestmark = pytest.mark.slow

DENIED = "AccessDeniedException"
ALLOWED = ("", "")
#: Beside others, those that go by different parts of the request path.
SAMPLE = {"CreateAlias", "CreateGrant", "CreateKey", "Decrypt", "Encrypt", "ListGrants", "ListKeys", "PutKeyPolicy"}

KEYLESS = {operation for operation, row in ROWS.items() if row.key is None}
#: The grant says who may retire it, and the key's policy does not.
OF_A_GRANT = {"RetireGrant"}
KEYED = set(ROWS) - KEYLESS - OF_A_GRANT
NEEDING = {operation for operation, row in ROWS.items() if row.needs}
GRANTED = {operation for operation in KEYED if grantable(operation)}
FOREIGN = {operation for operation in KEYED if crosses_accounts(operation)}
#: They have nothing that could name something of another account.
BY_OWN_NAME = {"DeleteAlias", "UpdateAlias"}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], World]]:
    """Each is made when it is first asked for."""
    made: dict[str, World] = {}
    with ExitStack() as stack:

        def world(where: str) -> World:
            if where not in made:
                directory = tmp_path_factory.mktemp("world")
                if where == "socket":
                    server = Production(directory, "--seed", str(write_seed(directory)))
                    stack.callback(server.stop)
                    made[where] = World(lambda access: server.client(access=access))
                else:
                    made[where] = stack.enter_context(inside(directory))
            return made[where]

        yield world


@pytest.fixture
def world(worlds: Callable[[str], World], request: pytest.FixtureRequest) -> World:
    return worlds(request.param)


def each(operations: Iterable[str]) -> pytest.MarkDecorator:
    chosen = sorted(operations)
    places = [("inside", name) for name in chosen] + [("socket", name) for name in chosen if name in SAMPLE]
    return pytest.mark.parametrize(("world", "operation"), places, indirect=["world"], ids=map("-".join, places))


def asked(world: World, person: Person, operation: str, policy: str) -> tuple[str, str]:
    """(code, message) of the answer to that request on a new key under ``policy``; ("", "") for a success."""
    members = prepare(world, operation, policy)
    return outcome(world.by(person), operation, **members)


def refusal(person: Person, operation: str, because: str, found: tuple[str, str]) -> None:
    """``found`` must be a refusal in AWS's words, for the first of the operation's permissions."""
    permission = permissions(operation)[0]
    code, message = found
    assert code == DENIED
    start = f"User: {person.arn} is not authorized to perform: {permission} on "
    assert message.startswith(start)
    assert message.endswith(f" because {because}".replace("{}", permission))


OF_OTHER = allow("kms:*", Principal={"AWS": f"arn:aws:iam::{OTHER}:root"})
NO_IDENTITY = "no identity-based policy allows the {} action"
NO_RESOURCE = "no resource-based policy allows the {} action"
ABSENT = (
    "the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy "
    "explicitly denies access"
)


def test_every_operation_has_a_row() -> None:
    assert set(ROWS) == set(registry.KMS)
    assert len(ROWS) == 50


# -- by default


@each(ROWS)
def test_a_fresh_user_may_do_nothing(world: World, operation: str) -> None:
    """Though the key's policy lets its account in, and even where it asks about itself."""
    refusal(NOBODY, operation, NO_IDENTITY, asked(world, NOBODY, operation, OPEN))


@each(KEYED)
def test_nor_may_one_whom_the_account_allows_and_the_key_does_not(world: World, operation: str) -> None:
    """An identity policy counts only where the key policy lets its account in."""
    refusal(ABLE, operation, NO_RESOURCE, asked(world, ABLE, operation, CLOSED))


@each(KEYED)
def test_the_permission_for_everything_else_is_not_enough(world: World, operation: str) -> None:
    others = {"Effect": "Allow", "Principal": {"AWS": NOBODY.arn}, "NotAction": permissions(operation), "Resource": "*"}
    refusal(NOBODY, operation, NO_RESOURCE, asked(world, NOBODY, operation, closed(others)))


# -- the three ways


@each(KEYED)
def test_a_key_policy_that_names_the_user_is_enough(world: World, operation: str) -> None:
    """On the key, that is: what is about an alias, or a new key, needs an identity policy besides."""
    person = HELPER if operation in NEEDING else NOBODY
    assert asked(world, person, operation, naming(person, list(permissions(operation)))) == ALLOWED


@each(NEEDING)
def test_and_it_is_not_where_the_request_is_about_more_than_the_key(world: World, operation: str) -> None:
    code, message = asked(world, NOBODY, operation, naming(NOBODY))
    assert code == DENIED
    assert message.startswith(f"User: {NOBODY.arn} is not authorized to perform: ")
    assert " because no identity-based policy allows the kms:" in message


@each(KEYED | KEYLESS | OF_A_GRANT)
def test_an_identity_policy_is_enough_where_the_key_policy_lets_the_account_in(world: World, operation: str) -> None:
    assert asked(world, ABLE, operation, OPEN) == ALLOWED


@each(GRANTED)
def test_a_grant_is_enough(world: World, operation: str) -> None:
    """To whom no policy allows anything; and what it does not name stays refused."""
    members, client = prepare(world, operation, CLOSED), world.by(NOBODY)
    keys = {value for name, value in members.items() if name in (ROWS[operation].ref, "DestinationKeyId")}
    for key in keys:
        assert outcome(client, operation, **members)[0] == DENIED
        allowed = [*grantable(operation), "DescribeKey"]
        world.by(ADMIN).create_grant(KeyId=key, GranteePrincipal=NOBODY.arn, Operations=allowed)
    assert outcome(client, operation, **members) == ALLOWED
    for key in keys:
        assert outcome(client, "ListGrants", KeyId=key)[0] == DENIED


# -- RetireGrant


def retiring(world: World, person: Person, policy: str, **members: Any) -> tuple[str, str]:
    """The answer to somebody who retires a new grant on a new key under ``policy``."""
    key, admin = world.key(policy), world.by(ADMIN)
    asked = {"GranteePrincipal": ADMIN.arn, "Operations": ["DescribeKey"], **members}
    made = admin.create_grant(KeyId=key, **asked)
    return outcome(world.by(person), "RetireGrant", KeyId=key, GrantId=made["GrantId"])


@each(OF_A_GRANT)
def test_a_grant_says_who_retires_it(world: World, operation: str) -> None:
    to_nobody = {"GranteePrincipal": NOBODY.arn}
    assert retiring(world, NOBODY, CLOSED, RetiringPrincipal=NOBODY.arn) == ALLOWED
    assert retiring(world, VISITOR, CLOSED, RetiringPrincipal=VISITOR.arn) == ALLOWED
    assert retiring(world, NOBODY, CLOSED, **to_nobody, Operations=["DescribeKey", operation]) == ALLOWED
    assert retiring(world, NOBODY, CLOSED, **to_nobody)[0] == DENIED
    refusal(VISITOR, operation, ABSENT, retiring(world, VISITOR, CLOSED, RetiringPrincipal=NOBODY.arn))


@each(OF_A_GRANT)
def test_a_key_policy_does_not(world: World, operation: str) -> None:
    assert retiring(world, NOBODY, naming(NOBODY))[0] == DENIED
    refusal(VISITOR, operation, ABSENT, retiring(world, VISITOR, naming(VISITOR)))


# -- across accounts


@each(FOREIGN)
def test_across_accounts_both_sides_must_allow(world: World, operation: str) -> None:
    assert asked(world, VISITOR, operation, naming(VISITOR)) == ALLOWED
    assert asked(world, VISITOR, operation, closed(OF_OTHER)) == ALLOWED
    refusal(STRANGER, operation, NO_IDENTITY, asked(world, STRANGER, operation, naming(STRANGER)))
    refusal(STRANGER, operation, NO_IDENTITY, asked(world, STRANGER, operation, closed(OF_OTHER)))
    refusal(VISITOR, operation, ABSENT, asked(world, VISITOR, operation, CLOSED))
    refusal(VISITOR, operation, ABSENT, asked(world, VISITOR, operation, OPEN))


@each(KEYED - FOREIGN - BY_OWN_NAME)
def test_what_does_not_work_across_accounts_is_refused_whatever_is_allowed(world: World, operation: str) -> None:
    refusal(VISITOR, operation, ABSENT, asked(world, VISITOR, operation, naming(VISITOR)))


@each(BY_OWN_NAME)
def test_an_alias_is_looked_up_in_the_callers_account(world: World, operation: str) -> None:
    assert asked(world, VISITOR, operation, naming(VISITOR))[0] == "NotFoundException"
