# SPDX-License-Identifier: Apache-2.0
"""The nouns: requests, callers, keys, aliases, identities. Values only; nothing here loads, decides or decrypts."""

from math import inf
from typing import Any, Final, NamedTuple

import msgspec

from keyquorum.metering import Requests


class HttpRequest(msgspec.Struct, frozen=True, gc=False):
    """One HTTP request as it came over the socket: nothing decoded, nothing normalised.

    ``target`` is the raw request target (path and query). Header names are in lower case; values are raw bytes,
    in the order of arrival, duplicates included. ``peer`` is the client's address without port,
    ``secure`` whether TLS protected the request. ``received`` is when all of it was there, on ``time.perf_counter``.
    ``by_name`` is made of the headers; of duplicates it has the last, so whoever minds must compare lengths.
    """

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    peer: str
    secure: bool = False
    by_name: dict[bytes, bytes] = {}
    received: float = 0.0

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "by_name", dict(self.headers))

    def __repr__(self) -> str:
        return f"HttpRequest({self.method!r}, {len(self.body)} bytes, peer={self.peer!r})"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """One HTTP answer. ``record`` is the audit record to be made durable before the answer leaves:
    a JSON line without its newline, or None where there is none to write. ``until``: when it is too late to send it,
    on the clock ``uptime``. ``counted``: where it is to be counted once it leaves. ``known``: whether its request was
    one of somebody who is known."""

    status: int
    content_type: bytes
    body: bytes
    request_id: str
    record: bytes | None = None
    until: float = inf
    counted: Requests | None = None
    known: bool = False

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes, request_id={self.request_id!r})"


class Session(msgspec.Struct, frozen=True):
    """Temporary credentials of a user or a role. Times are seconds since the epoch.

    ``policies`` are the session policies that were passed inline, ``policy_arns`` those passed by name. ``mfa_at`` is
    when a second factor was seen. ``federated`` is the ARN of the OIDC provider that vouched for who assumed the role,
    ``web_user`` the subject that it named, and ``claims`` are the condition keys, in lower case, that its token gave.
    ``console``: it was begun by somebody who signed in to the console, and lives in that browser's cookie.
    ``not_for_iam``: and with credentials that IAM does not take, so that this one is no better.
    """

    name: str
    issued_at: float
    expires_at: float
    policies: tuple[str, ...] = ()
    policy_arns: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    transitive: tuple[str, ...] = ()
    source_identity: str | None = None
    mfa_at: float | None = None
    federated: str | None = None
    web_user: str | None = None
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()
    console: bool = False
    not_for_iam: bool = False


class Caller(msgspec.Struct, frozen=True):
    """Who signed the request, and where it is to act.

    ``region`` is the credential scope's. ``kind`` is CloudTrail's userIdentity type: Root, IAMUser, AssumedRole,
    WebIdentityUser or AWSService. Of a role's session, ``arn`` and ``principal_id`` are the session's (AROA...:name);
    ``identity_id`` is the unique ID of the user or role in any case. ``session`` is there for temporary credentials.
    ``region_set`` are the Regions that a SigV4A signature is for, as patterns; its scope has no Region, so that
    ``region`` is then settled once the request has been read.
    """

    account: str
    region: str
    arn: str
    principal_id: str
    kind: str
    access_key_id: str = ""
    identity_id: str = ""
    role_arn: str | None = None
    session: Session | None = None
    region_set: tuple[str, ...] = ()

    @property
    def is_for_iam(self) -> bool:
        """Whether IAM takes these credentials. Those of GetSessionToken it does without a second factor only if it was
        the console that began the session, by an access key (STS API reference, GetSessionToken)."""
        session = self.session
        if session is None or self.kind == ASSUMED_ROLE or session.mfa_at is not None:
            return True
        return session.console and not session.not_for_iam


class Key(msgspec.Struct, frozen=True):
    """A KMS key without its material. Times are seconds since the epoch, windows and periods days.

    ``tags`` are in order of their keys. ``material_id`` is the current material's, empty before the first import.
    ``primary_region`` is None for a single-Region key; a multi-Region key has a row, and materials, in each Region.
    ``rotation_period`` is None while automatic rotation is off. ``pending_window`` counts from the deletion of the last
    replica where a primary waits for that, and then there is no ``deletion_date`` yet.
    """

    key_id: str
    account: str
    region: str
    spec: str
    usage: str
    origin: str
    state: str
    description: str
    created_at: float
    material_id: str
    primary_region: str | None = None
    deletion_date: float | None = None
    pending_window: int | None = None
    rotation_period: int | None = None
    next_rotation: float | None = None
    on_demand_rotations: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    version: int = 1

    @property
    def name(self) -> str:
        """What the key is cached and announced under."""
        return key_name(self.key_id, self.region)

    @property
    def is_primary(self) -> bool:
        """Whether it is a multi-Region primary key."""
        return self.primary_region == self.region

    @property
    def is_replica(self) -> bool:
        return self.primary_region is not None and self.primary_region != self.region


def key_name(key_id: str, region: str) -> str:
    return f"{key_id}@{region}"


class KeyMaterial(msgspec.Struct, frozen=True):
    """One key material of a key in one Region, wrapped under a keyring key.

    ``wrapped`` opens for its own key ID and material ID alone; it is None while imported material is deleted, or has
    expired.
    ``state`` is the model's KeyMaterialState. ``valid_to`` is None for material that does not expire.
    """

    material_id: str
    key_id: str
    region: str
    state: str
    keyring_version: int
    wrapped: bytes | None
    created_at: float
    rotated_at: float | None = None
    rotation_type: str | None = None
    valid_to: float | None = None
    description: str | None = None
    version: int = 1

    def __repr__(self) -> str:
        return f"KeyMaterial({self.material_id!r}, key_id={self.key_id!r}, region={self.region!r})"


class ResourcePolicy(msgspec.Struct, frozen=True):
    """A resource-based policy. ``bound``: the ARNs of its principals -> the unique IDs that they had when it was put,
    or None where it compares ARNs."""

    document: str
    bound: dict[str, str] | None = None


class KeyRecord(msgspec.Struct, frozen=True):
    """A key, all its materials, its policy and the names of its aliases, as loaded and verified in one snapshot.
    ``opened`` holds what the keyring has opened of the materials, ``ready`` what has been made of the policy, so that
    they go when the record does. One without a policy is made to be described, and gives nobody a right."""

    key: Key
    materials: dict[str, KeyMaterial]
    policy: ResourcePolicy | None = None
    aliases: tuple[str, ...] = ()
    opened: dict[str, object] = msgspec.field(default_factory=dict)
    ready: dict[str, Any] = msgspec.field(default_factory=dict)

    def ends(self) -> float | None:
        """When the first of its imported materials expires."""
        dates = [m.valid_to for m in self.materials.values() if m.valid_to is not None and m.wrapped is not None]
        return min(dates, default=None)


class Grant(msgspec.Struct, frozen=True):
    """A grant. Principals are ARNs, service principals host names; ``constraints`` is the model's JSON, canonical.
    ``grantee_id`` and ``retiring_id`` are the unique IDs that the principals had when it was made."""

    grant_id: str
    key_id: str
    region: str
    name: str | None
    grantee: str
    retiring: str | None
    issuing_account: str
    operations: tuple[str, ...]
    constraints: str | None
    created_at: float
    grantee_is_service: bool = False
    retiring_is_service: bool = False
    version: int = 1
    grantee_id: str | None = None
    retiring_id: str | None = None


class Alias(msgspec.Struct, frozen=True):
    """``name`` includes the prefix ``alias/``."""

    account: str
    region: str
    name: str
    key_id: str
    created_at: float
    updated_at: float
    version: int = 1


class Principal(msgspec.Struct, frozen=True):
    """A user, group, role, or an account's root, with all that it is and may.

    ``principal_id`` is unique for ever, so that a name used again is another principal. ``inline`` are (name, document)
    pairs, ``attached`` and ``boundary`` ARNs of managed policies, ``member_of`` the IDs of a user's groups. A role has
    ``trust``, its trust policy, with what that is bound to, and ``max_session``, in seconds.
    """

    principal_id: str
    account: str
    kind: str
    name: str
    path: str = "/"
    created_at: float = 0.0
    tags: tuple[tuple[str, str], ...] = ()
    inline: tuple[tuple[str, str], ...] = ()
    attached: tuple[str, ...] = ()
    boundary: str | None = None
    member_of: tuple[str, ...] = ()
    trust: ResourcePolicy | None = None
    max_session: int = 3600
    description: str = ""
    version: int = 1

    @property
    def arn(self) -> str:
        """The IAM ARN (IAM user guide, "IAM identifiers")."""
        resource = "root" if self.kind == ROOT else f"{_RESOURCE_TYPES[self.kind]}{self.path}{self.name}"
        return f"arn:aws:iam::{self.account}:{resource}"


class PolicyVersion(msgspec.Struct, frozen=True):
    version_id: str
    document: str
    created_at: float


class ManagedPolicy(msgspec.Struct, frozen=True):
    """A customer managed policy. ``last_version`` is the number of the newest version that there ever was."""

    policy_id: str
    account: str
    name: str
    path: str
    description: str
    created_at: float
    updated_at: float
    versions: tuple[PolicyVersion, ...]
    default_version: str
    last_version: int = 1
    tags: tuple[tuple[str, str], ...] = ()
    version: int = 1

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:policy{self.path}{self.name}"

    @property
    def document(self) -> str:
        """The document in force."""
        return next(v.document for v in self.versions if v.version_id == self.default_version)


class OIDCProvider(msgspec.Struct, frozen=True):
    """An OpenID Connect provider. ``url`` is the issuer without its scheme; ``jwks`` is its JSON Web Key Set, or None
    where that is fetched from it."""

    account: str
    url: str
    client_ids: tuple[str, ...]
    thumbprints: tuple[str, ...]
    jwks: str | None
    created_at: float
    tags: tuple[tuple[str, str], ...] = ()
    version: int = 1

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:oidc-provider/{self.url}"


class IdentityRecord(msgspec.Struct, frozen=True):
    """A principal with its groups and all managed policies that concern it, by ARN, as loaded in one snapshot.
    ``ready`` holds what has been made of them, so that it goes when the record does."""

    principal: Principal
    groups: tuple[Principal, ...] = ()
    managed: dict[str, str] = {}
    ready: dict[str, Any] = msgspec.field(default_factory=dict)


class AccessKey(msgspec.Struct, frozen=True):
    """An access key; its secret is wrapped under a keyring key. One for SigV4A alone has no secret here but
    ``public_key``, a SubjectPublicKeyInfo in DER. ``status`` is Active or Inactive."""

    access_key_id: str
    principal_id: str
    keyring_version: int
    wrapped_secret: bytes
    created_at: float
    version: int = 1
    status: str = "Active"
    public_key: bytes | None = None

    def __repr__(self) -> str:
        return f"AccessKey({self.access_key_id!r})"


ROOT: Final = "Root"
USER: Final = "IAMUser"
ROLE: Final = "Role"
GROUP: Final = "Group"
ASSUMED_ROLE: Final = "AssumedRole"
WEB_IDENTITY: Final = "WebIdentityUser"
SERVICE: Final = "AWSService"

_RESOURCE_TYPES: Final = {USER: "user", ROLE: "role", GROUP: "group"}


def identities_name(account: str) -> str:
    """What all that is cached of an account's identities goes by: a change to one drops them all."""
    return f"iam:{account}"


class SealedRoot(NamedTuple):
    """A row of ``root_keys``: the root key as a seal sealed it, which seal, and what that needs to open it again (JSON,
    nothing secret). A key file's row that is older than the other seals has neither."""

    sealed: bytes
    kind: str | None = None
    parameters: str | None = None
    created_at: float = 0.0
