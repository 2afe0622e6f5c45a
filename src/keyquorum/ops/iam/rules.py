# SPDX-License-Identifier: Apache-2.0
"""Rules that the families of IAM share: lookups, tags, quotas, pages.

Wordings are AWS's answers as its users report them; where none is known, they are made like those that are.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

from keyquorum import iam_api
from keyquorum.authz.matching import fold
from keyquorum.errors import (
    InvalidInputException,
    LimitExceededException,
    NoSuchEntityException,
    ValidationException,
)
from keyquorum.model import GROUP, ROLE, ROOT, USER, ManagedPolicy, Principal
from keyquorum.ops.operation import Call
from keyquorum.ops.rules import page_of
from keyquorum.store.managed_policies import OF_AWS

T = TypeVar("T")

#: The tags of an entity, or those of a request.
Tags = tuple[tuple[str, str], ...]

_PAGE_SIZE: Final = 100
_POLICY_ARN: Final = re.compile(r"arn:aws:iam::(aws|[0-9]{12}):policy/(?:[!-~]+/)?[\w+=,.@-]+", re.ASCII)


class Kind(msgspec.Struct, frozen=True):
    """A kind of principal. ``title`` is what names of operations, members and quotas are made with."""

    kind: str
    title: str

    @property
    def word(self) -> str:
        return self.title.lower()

    @property
    def member(self) -> str:
        """The member of a request that names one."""
        return f"{self.word}_name"

    def name_in(self, request: Any) -> str:
        return str(getattr(request, self.member))

    def no_such(self, name: str) -> NoSuchEntityException:
        return NoSuchEntityException(f"The {self.word} with name {name} cannot be found.")


USERS: Final = Kind(USER, "User")
GROUPS: Final = Kind(GROUP, "Group")
ROLES: Final = Kind(ROLE, "Role")
KINDS: Final = (USERS, GROUPS, ROLES)


# -- lookups


@contextmanager
def connected(call: Call) -> Iterator[sa.Connection]:
    """The connection of the transaction that the call is in, else one to read from."""
    if call.txn is not None:
        yield call.txn.connection
    else:
        with call.services.store.database.read() as connection:
            yield connection


def find(call: Call, kind: Kind, name: str) -> Principal | None:
    with connected(call) as connection:
        return call.services.store.identities.principal(connection, call.caller.account, kind.kind, name)


def load(call: Call, kind: Kind, request: Any) -> Principal:
    """The principal of a kind that the request names; raises NoSuchEntityException."""
    name = kind.name_in(request)
    found = find(call, kind, name)
    if found is None:
        raise kind.no_such(name)
    return found


def named_or_caller(call: Call, name: str | None, *, sessions: bool) -> Principal | None:
    """The user of this name, without one the user or root who signed the request; None if there is no such user.

    Raises ValidationException for a caller who is neither, or who signs with temporary credentials unless ``sessions``:
    "If a temporary access key is used, then UserName is required" (IAM API reference, UpdateAccessKey).
    """
    if name is not None:
        return find(call, USERS, name)
    caller, identities = call.caller, call.services.store.identities
    if caller.kind not in (USER, ROOT) or (caller.session is not None and not sessions):
        raise ValidationException("Must specify userName when calling with non-User credentials")
    with connected(call) as connection:
        if caller.kind == ROOT:
            return identities.principal(connection, caller.account, ROOT, ROOT)
        return identities.by_id(connection, caller.identity_id)


def policy_arn(arn: str | None) -> str:
    """The ARN, if it has the form of a managed policy's; raises ValidationException."""
    if _POLICY_ARN.fullmatch(str(arn)) is None:
        raise ValidationException("Invalid ARN:  Could not be parsed!")
    return str(arn)


def policy_path(arn: str) -> str:
    """The path in a managed policy's ARN."""
    resource = arn.partition(":policy")[2]
    return resource[: resource.rindex("/") + 1]


def find_policy(call: Call, arn: str) -> ManagedPolicy | None:
    """The policy of the caller's account, or of AWS. Another account's is as good as none."""
    if arn in OF_AWS:
        return OF_AWS[arn]
    if not arn.startswith(f"arn:aws:iam::{call.caller.account}:"):
        return None
    with connected(call) as connection:
        return call.services.store.managed_policies.load(connection, arn)


def boundary(call: Call, arn: str | None) -> str | None:
    """The ARN, if it can be a permissions boundary; raises NoSuchEntityException."""
    if arn is None:
        return None
    if find_policy(call, policy_arn(arn)) is None:
        raise NoSuchEntityException(f"Scope ARN: {arn} does not exist or is not attachable.")
    return arn


# -- tags


def tagged(call: Call, quota: str, present: Tags, new: Iterable[iam_api.Tag] | None, *, by_case: bool = False) -> Tags:
    """The tags with the new ones added or replaced; raises InvalidInputException or LimitExceededException.

    Keys of users and roles compare without case, those of everything else with it (IAM user guide, "Tagging IAM
    resources").
    """
    same: Callable[[str], str] = str if by_case else fold
    added: dict[str, tuple[str, str]] = {}
    for tag in new or ():
        key, value = str(tag.key), str(tag.value)
        if same(key) in added:
            raise InvalidInputException(
                "Duplicate tag keys found. Please note that Tag keys are case "
                f"{'sensitive' if by_case else 'insensitive'}."
            )
        if fold(key).startswith("aws:") or fold(value).startswith("aws:"):
            raise InvalidInputException("Tags beginning with aws: are reserved")
        added[same(key)] = (key, value)
    merged = {same(key): (key, value) for key, value in present} | added
    check_quota(call, quota, len(merged))
    return tuple(merged.values())


def untagged(present: Tags, keys: Iterable[str] | None, *, by_case: bool = False) -> Tags:
    same: Callable[[str], str] = str if by_case else fold
    gone = {same(key) for key in keys or ()}
    return tuple([(key, value) for key, value in present if same(key) not in gone])


def shown_tags(tags: Tags) -> list[iam_api.Tag]:
    return [iam_api.Tag(key=key, value=value) for key, value in tags]


def tags_page(call: Call, name: str, request: Any, arn: str, tags: Tags) -> Any:
    """The answer of an operation that lists tags."""
    shown, rest = page(call, f"{name} {arn}", request, sorted(tags), lambda tag: tag[0])
    return answer(name, tags=shown_tags(tuple(shown)), **rest)


# -- quotas, pages and answers


def check_quota(call: Call, quota: str, count: int) -> None:
    """Raises LimitExceededException if ``count`` is more than the quota of this name."""
    limit: int = getattr(call.services.quotas, quota)
    if count > limit:
        name = "".join(map(str.capitalize, quota.split("_")))
        raise LimitExceededException(f"Cannot exceed quota for {name}: {limit}")


def page(
    call: Call, scope: str, request: Any, items: Sequence[T], place: Callable[[T], str]
) -> tuple[list[T], dict[str, Any]]:
    """One page of items that are in order of their places; see ``fetched_page``."""
    return fetched_page(
        call, scope, request, lambda after, limit: [item for item in items if place(item) > after][:limit], place
    )


def fetched_page(
    call: Call, scope: str, request: Any, fetch: Callable[[str, int], list[T]], place: Callable[[T], str]
) -> tuple[list[T], dict[str, Any]]:
    """One page of a list of the caller's account: what it shows, and the members of the answer that lead on. See
    ``rules.page_of``."""
    scope, limit = f"{scope} {call.caller.account}", request.max_items or _PAGE_SIZE
    shown, marker, truncated = page_of(call, scope, request.marker, limit, fetch, place)
    return shown, {"is_truncated": truncated, "marker": marker}


def answer(name: str, **members: Any) -> Any:
    """The response of the operation of this name."""
    response: Any = iam_api.OPERATIONS[name].response
    return response(**members)
