# SPDX-License-Identifier: Apache-2.0
"""The identities of a seed file: its tables, and the IAM requests that each stands for. What they say is held against
IAM's own model and its readers of policies here, and against everything else where the requests are carried out.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from keyquorum import iam_api
from keyquorum.api import Shape
from keyquorum.authz.policy import parse_identity_policy, parse_trust_policy
from keyquorum.wire import constraints

_UNNAMED: Final = "seed"


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Step(NamedTuple):
    """A request of IAM, and the field that it comes from; "" for the one that makes the table's own."""

    field: str
    operation: str
    request: Shape


class SeedPolicy(Table, frozen=True):
    name: str
    document: str
    account: str | None = None
    path: str | None = None
    description: str | None = None
    tags: dict[str, str] = {}

    def steps(self) -> Iterator[Step]:
        yield Step(
            "",
            "CreatePolicy",
            iam_api.CreatePolicyRequest(
                policy_name=self.name,
                path=self.path,
                policy_document=self.document,
                description=self.description,
                tags=_tags(self.tags),
            ),
        )


class SeedProvider(Table, frozen=True):
    """``jwks_file`` has been read into ``jwks`` before the steps are asked for."""

    url: str
    client_ids: tuple[str, ...]
    account: str | None = None
    jwks: str | None = None
    jwks_file: str | None = None
    thumbprints: tuple[str, ...] = ()
    tags: dict[str, str] = {}

    def steps(self) -> Iterator[Step]:
        yield Step(
            "",
            "CreateOpenIDConnectProvider",
            iam_api.CreateOpenIDConnectProviderRequest(
                url=self.url,
                client_id_list=list(self.client_ids),
                thumbprint_list=list(self.thumbprints) or None,
                tags=_tags(self.tags),
                jwks=self.jwks,
            ),
        )


class SeedGroup(Table, frozen=True):
    name: str
    account: str | None = None
    path: str | None = None
    policies: dict[str, str] = {}
    attached: tuple[str, ...] = ()

    def steps(self) -> Iterator[Step]:
        yield Step("", "CreateGroup", iam_api.CreateGroupRequest(group_name=self.name, path=self.path))
        yield from _permissions("Group", self.name, self.policies, self.attached)


class SeedRole(Table, frozen=True):
    """``max_session`` is in seconds."""

    name: str
    trust: str
    account: str | None = None
    path: str | None = None
    description: str | None = None
    max_session: int | None = None
    policies: dict[str, str] = {}
    attached: tuple[str, ...] = ()
    boundary: str | None = None
    tags: dict[str, str] = {}

    def steps(self) -> Iterator[Step]:
        yield Step(
            "",
            "CreateRole",
            iam_api.CreateRoleRequest(
                role_name=self.name,
                path=self.path,
                assume_role_policy_document=self.trust,
                description=self.description,
                max_session_duration=self.max_session,
                permissions_boundary=self.boundary,
                tags=_tags(self.tags),
            ),
        )
        yield from _permissions("Role", self.name, self.policies, self.attached)


class SeedUser(Table, frozen=True):
    """With ``access_key_id`` goes ``secret_access_key``, or ``public_key`` for one that signs with SigV4A."""

    name: str
    access_key_id: str | None = None
    secret_access_key: str | None = None
    public_key: str | None = None
    account: str | None = None
    path: str | None = None
    policy: str | None = None
    policies: dict[str, str] = {}
    attached: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    boundary: str | None = None
    tags: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"SeedUser({self.name!r})"

    def steps(self) -> Iterator[Step]:
        yield Step(
            "",
            "CreateUser",
            iam_api.CreateUserRequest(
                user_name=self.name,
                path=self.path,
                permissions_boundary=self.boundary,
                tags=_tags(self.tags),
            ),
        )
        if self.policy is not None:
            yield _inline("policy", "User", self.name, _UNNAMED, self.policy)
        yield from _permissions("User", self.name, self.policies, self.attached)
        for group in self.groups:
            request = iam_api.AddUserToGroupRequest(group_name=group, user_name=self.name)
            yield Step("groups", "AddUserToGroup", request)

    def key_without_secret(self) -> Step:
        """For one with a ``public_key``."""
        request = iam_api.CreateAccessKeyRequest(
            user_name=self.name, access_key_id=self.access_key_id, public_key=self.public_key
        )
        return Step("public_key", "CreateAccessKey", request)


Identity = SeedPolicy | SeedProvider | SeedGroup | SeedRole | SeedUser


def _permissions(holder: str, name: str, policies: dict[str, str], attached: Iterable[str]) -> Iterator[Step]:
    for policy, document in policies.items():
        yield _inline(f"policies.{policy}", holder, name, policy, document)
    for arn in attached:
        yield _about(f"Attach{holder}Policy", "attached", holder, name, policy_arn=arn)


def _inline(field: str, holder: str, name: str, policy: str, document: str) -> Step:
    return _about(f"Put{holder}Policy", field, holder, name, policy_name=policy, policy_document=document)


def _about(operation: str, field: str, holder: str, name: str, **members: str) -> Step:
    request = iam_api.OPERATIONS[operation].request
    return Step(field, operation, request(**{f"{holder.lower()}_name": name}, **members))


def _tags(tags: dict[str, str]) -> list[iam_api.Tag] | None:
    return [iam_api.Tag(key=key, value=value) for key, value in tags.items()] or None


_DOCUMENTS: Final = (("policy_document", parse_identity_policy), ("assume_role_policy_document", parse_trust_policy))


def check(step: Step) -> None:
    """What can be seen of a request by itself. Raises KMSError."""
    constraints.check(step.request)
    for member, parse in _DOCUMENTS:
        document = getattr(step.request, member, None)
        if document is not None:
            parse(document)
