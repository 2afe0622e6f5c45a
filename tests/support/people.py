# SPDX-License-Identifier: Apache-2.0
"""Users of two accounts, as a seed file makes them, and key policies that name them or their accounts."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from inprocess import InProcess
from servers import ACCOUNT, Access, code_of

from keyquorum.app import Service
from keyquorum.config import Settings

OTHER: Final = "444455556666"


def allow(action: Any, resource: Any = "*", effect: str = "Allow", **more: Any) -> dict[str, Any]:
    """A statement of an identity policy; with a ``Principal``, of a key policy."""
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Person(NamedTuple):
    """A user. ``statements`` are those of its one identity policy; without any it has none."""

    name: str
    account: str = ACCOUNT
    statements: tuple[dict[str, Any], ...] = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user/{self.name}"

    @property
    def access(self) -> Access:
        return Access(f"AKIA{self.name.upper():0<16}", f"secret-of-{self.name:->30}")

    @property
    def seed(self) -> str:
        lines = {
            "name": self.name,
            "account": self.account,
            "access_key_id": self.access.key_id,
            "secret_access_key": self.access.secret,
        }
        if self.statements:
            lines["policy"] = document(*self.statements)
        return "[[user]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())


EVERYTHING: Final = allow("kms:*")

#: Makes what tests need; key policies name it, which lets its account in no further.
ADMIN: Final = Person("admin", ACCOUNT, (EVERYTHING,))
NOBODY: Final = Person("nobody")
#: Has of its identity policy what no key policy can give: the half of an operation that is about no key.
HELPER: Final = Person(
    "helper",
    ACCOUNT,
    (
        allow(["kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias"], "arn:aws:kms:*:*:alias/*"),
        allow("kms:CreateKey"),
    ),
)
ABLE: Final = Person("able", ACCOUNT, (EVERYTHING,))
STRANGER: Final = Person("stranger", OTHER)
VISITOR: Final = Person("visitor", OTHER, (EVERYTHING,))

PEOPLE: Final = (ADMIN, NOBODY, HELPER, ABLE, STRANGER, VISITOR)


def closed(*statements: dict[str, Any]) -> str:
    """A key policy that lets in nobody but the administrator, and whom ``statements`` say."""
    return document(allow("kms:*", Principal={"AWS": ADMIN.arn}), *statements)


def naming(person: Person, actions: Any = "kms:*", **more: Any) -> str:
    """A key policy that names somebody, and nobody's account."""
    return closed(allow(actions, Principal={"AWS": person.arn}, **more))


CLOSED: Final = closed()
OPEN: Final = closed(allow("kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
"""It lets in the account, so that identity policies count."""


class World:
    """Clients of all people on one server, by whichever way ``client`` goes."""

    def __init__(self, client: Callable[[Access], Any]) -> None:
        self._client = client
        self._clients: dict[Access, Any] = {}

    def by(self, person: Person) -> Any:
        access = person.access
        if access not in self._clients:
            self._clients[access] = self._client(access)
        return self._clients[access]

    def key(self, policy: str, **members: Any) -> str:
        """The ARN of a new key of the administrator's account."""
        arn: str = self.by(ADMIN).create_key(Policy=policy, **members)["KeyMetadata"]["Arn"]
        return arn


def encrypt(world: World, person: Person, key: str, **context: str) -> str:
    """The error code of an Encrypt, or "" for a success."""
    return code_of(world.by(person).encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context)


def write_seed(directory: Path, *people: Person) -> Path:
    seed = directory / "seed.toml"
    seed.write_text("".join(person.seed for person in people or PEOPLE))
    return seed


class Inside(World):
    """The world of a service in this process."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.inside = InProcess(service)
        super().__init__(lambda access: self.client("kms", access))

    def client(self, name: str, access: Access) -> Any:
        return self.inside.client(name, aws_access_key_id=access.key_id, aws_secret_access_key=access.secret)

    def root(self, name: str, account: str = ACCOUNT) -> Any:
        return self.inside.client(name, **self.inside.root(account))


@contextmanager
def inside(directory: Path, *people: Person) -> Iterator[Inside]:
    """A production service, in memory, that knows these people."""
    service = Service(Settings(data=None, seed=write_seed(directory, *people)))
    try:
        yield Inside(service)
    finally:
        service.close()
