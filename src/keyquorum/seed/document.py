# SPDX-License-Identifier: Apache-2.0
"""The seed file: accounts, identities and keys to be there from the start, in TOML. Parsed here, applied by ``app``.

Whatever is wrong with it is said with its line, or its table, number and field; nothing of a faulty file is applied.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from keyquorum import arns, lifecycle
from keyquorum.authz.policy import parse_key_policy
from keyquorum.errors import KMSError
from keyquorum.seed.identities import (
    Identity,
    SeedGroup,
    SeedPolicy,
    SeedProvider,
    SeedRole,
    SeedUser,
    Table,
    check,
)
from keyquorum.specs import SPECS, SYMMETRIC_DEFAULT, is_symmetric

_ALIAS: Final = re.compile(r"alias/(?!aws(/|$))[a-zA-Z0-9/_-]{1,250}", re.ASCII)
_PATH: Final = re.compile(r"\$\.(\w+)(?:\[(\d+)\])?(?:\.(.+))?")


class SeedError(Exception):
    """The seed file cannot be used; the text says where it is wrong."""


class SeedAccount(Table, frozen=True):
    id: str


class SeedKey(Table, frozen=True):
    id: str
    account: str | None = None
    region: str | None = None
    spec: str = SYMMETRIC_DEFAULT
    usage: str | None = None
    origin: Literal["AWS_KMS", "EXTERNAL"] = "AWS_KMS"
    material: str | None = None
    state: str = lifecycle.ENABLED
    deletion_date: datetime | None = None
    aliases: tuple[str, ...] = ()
    policy: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    description: str = ""

    def __repr__(self) -> str:
        return f"SeedKey({self.id!r})"


class Seed(Table, frozen=True):
    account: tuple[SeedAccount, ...] = ()
    policy: tuple[SeedPolicy, ...] = ()
    oidc_provider: tuple[SeedProvider, ...] = ()
    group: tuple[SeedGroup, ...] = ()
    user: tuple[SeedUser, ...] = ()
    role: tuple[SeedRole, ...] = ()
    key: tuple[SeedKey, ...] = ()

    def identities(self) -> Iterator[tuple[str, int, Identity]]:
        """All identities with their tables and numbers, in an order in which each finds what it names: policies before
        those who have them, groups before users, and whom a role trusts before the role."""
        for table in ("policy", "oidc_provider", "group", "user", "role"):
            for number, identity in enumerate(getattr(self, table), 1):
                yield table, number, identity


def read(path: Path) -> Seed:
    """The seed in the file; raises SeedError."""
    try:
        return parse(path.read_text(encoding="utf-8"), path.parent)
    except OSError as error:
        raise SeedError(f"the seed file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SeedError(f"the seed file {path} is not UTF-8") from error


def parse(text: str, directory: Path = Path()) -> Seed:
    """The seed in the text; files that it names are in ``directory``. Raises SeedError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SeedError(f"the seed file is not TOML: {error}") from error
    try:
        seed = msgspec.convert(document, Seed)
    except msgspec.ValidationError as error:
        raise SeedError(_located(str(error))) from error
    providers = tuple([_with_keys(n, provider, directory) for n, provider in enumerate(seed.oidc_provider, 1)])
    seed = msgspec.structs.replace(seed, oidc_provider=providers)
    for number, account in enumerate(seed.account, 1):
        _check_account("account", number, "id", account.id)
    for number, user in enumerate(seed.user, 1):
        _check_user(number, user)
    for table, number, identity in seed.identities():
        _check_identity(table, number, identity)
    for number, key in enumerate(seed.key, 1):
        _check_key(number, key)
    _check_unique("user", "access_key_id", [filter(None, [user.access_key_id]) for user in seed.user])
    _check_unique("key", "id", [(key.id,) for key in seed.key])
    _check_unique("key", "aliases", [tuple((k.account, k.region, a) for a in k.aliases) for k in seed.key])
    return seed


def _check_unique(table: str, field: str, names: Sequence[Iterable[object]]) -> None:
    """``names``: for each table of this name, what no other may have."""
    seen: set[object] = set()
    for number, here in enumerate(names, 1):
        for name in here:
            if name in seen:
                raise wrong(table, number, field, "is there already")
            seen.add(name)


def _located(message: str) -> str:
    """msgspec's message with its path in the words of TOML."""
    text, _, path = message.rpartition(" - at `")
    match = _PATH.fullmatch(path.removesuffix("`"))
    if not text or match is None:
        return f"the seed file: {message}"
    table, index, field = match.groups()
    number = f" number {int(index) + 1}" if index is not None else ""
    return f"the seed file, [[{table}]]{number}{f', {field}' if field else ''}: {text}".replace("`", "'")


def wrong(table: str, number: int, field: str, problem: str) -> SeedError:
    """``field`` may be empty: then it is the whole table that is wrong."""
    return SeedError(f"the seed file, [[{table}]] number {number}{f', {field}' if field else ''}: {problem}")


def _check_account(table: str, number: int, field: str, account: str | None) -> None:
    if account is not None and not arns.is_account(account):
        raise wrong(table, number, field, "an account is 12 digits")


def _check_user(number: int, user: SeedUser) -> None:
    _check_account("user", number, "account", user.account)
    if re.fullmatch(r"[\w+=,.@-]{1,64}", user.name, re.ASCII) is None:
        raise wrong("user", number, "name", "a user name is 1 to 64 letters, digits and +=,.@_-")
    if user.access_key_id is not None and re.fullmatch(r"\w{4,128}", user.access_key_id, re.ASCII) is None:
        raise wrong("user", number, "access_key_id", "an access key ID is 4 to 128 letters, digits and _")
    if user.secret_access_key == "":
        raise wrong("user", number, "secret_access_key", "must not be empty")
    given = [user.secret_access_key, user.public_key]
    if given.count(None) != (2 if user.access_key_id is None else 1):
        problem = "goes with secret_access_key or public_key, and they with it"
        raise wrong("user", number, "access_key_id", problem)


def _check_identity(table: str, number: int, identity: Identity) -> None:
    _check_account(table, number, "account", identity.account)
    steps = list(identity.steps())
    if isinstance(identity, SeedUser) and identity.public_key is not None:
        steps.append(identity.key_without_secret())
    for step in steps:
        try:
            check(step)
        except KMSError as error:
            raise wrong(table, number, step.field, str(error.message)) from error


def _with_keys(number: int, provider: SeedProvider, directory: Path) -> SeedProvider:
    """The provider with its keys read from their file."""
    if provider.jwks_file is None:
        return provider
    if provider.jwks is not None:
        raise wrong("oidc_provider", number, "jwks_file", "does not go with jwks")
    try:
        return msgspec.structs.replace(provider, jwks=(directory / provider.jwks_file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise wrong("oidc_provider", number, "jwks_file", f"cannot be read: {error}") from error


def _check_key(number: int, key: SeedKey) -> None:
    problem = _problem_of(key)
    if problem is not None:
        raise wrong("key", number, *problem)
    if key.policy is not None:
        try:
            parse_key_policy(key.policy)
        except KMSError as error:
            raise wrong("key", number, "policy", str(error.message)) from error


def _problem_of(key: SeedKey) -> tuple[str, str] | None:
    """The first field that is wrong, and what is wrong with it."""
    spec = SPECS.get(key.spec)
    checks: tuple[tuple[str, Any, str], ...] = (
        ("id", arns.is_usable_key_id(key.id), "a key ID is 1 to 64 letters, digits and -"),
        ("account", key.account is None or arns.is_account(key.account), "is 12 digits"),
        ("region", key.region is None or arns.is_region(key.region), "must look like us-east-1"),
        ("spec", spec, f"must be one of {', '.join(SPECS)}"),
        ("usage", _usage_fits(key), f"does not go with spec {key.spec}, or must be named for it"),
        ("material", _material_fits(key), "must be hexadecimal, and not empty"),
        (
            "state",
            lifecycle.may_be_seeded(key.state, has_material=key.material is not None or key.origin == "AWS_KMS"),
            f"must be one of {', '.join(lifecycle.SEEDED)}",
        ),
        (
            "deletion_date",
            (key.deletion_date is not None) == lifecycle.shows_deletion_date(key.state),
            f"goes with state {lifecycle.PENDING_DELETION}, and that with it",
        ),
        (
            "deletion_date",
            key.deletion_date is None or key.deletion_date.tzinfo is not None,
            "must have a time and an offset, such as 2030-01-01T00:00:00Z",
        ),
        ("aliases", all(map(_ALIAS.fullmatch, key.aliases)), "an alias is alias/ and letters, digits, /, _ and -"),
        ("tags", len(key.tags) <= 50 and all(map(_is_tag, key.tags.items())), "at most 50, as TagResource takes them"),
        ("description", len(key.description) <= 8192, "at most 8192 characters"),
    )
    return next(((field, text) for field, right, text in checks if not right), None)


def _is_tag(tag: tuple[str, str]) -> bool:
    name, value = tag
    return 1 <= len(name) <= 128 and len(value) <= 256 and not name.lower().startswith("aws:")


def _material_fits(key: SeedKey) -> bool:
    """Whether it is hexadecimal; whether it is key material of the spec is found out where it is used."""
    try:
        return key.material is None or bool(bytes.fromhex(key.material))
    except ValueError:
        return False


def _usage_fits(key: SeedKey) -> bool:
    spec = SPECS.get(key.spec)
    if spec is None or key.usage in spec.usages:
        return True
    return key.usage is None and is_symmetric(key.spec)
