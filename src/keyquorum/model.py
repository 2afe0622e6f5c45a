# SPDX-License-Identifier: Apache-2.0
"""The nouns: requests, callers, keys, aliases, identities. Values only; nothing here loads, decides or decrypts."""

from typing import Final

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, gc=False):
    """One HTTP request as it came over the socket: nothing decoded, nothing normalised.

    ``target`` is the raw request target (path and query). Header names are in lower case; values are raw bytes,
    in the order of arrival, duplicates included. ``peer`` is the client's address without port.
    ``by_name`` is made of the headers; of duplicates it has the last, so whoever minds must compare lengths.
    """

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    peer: str
    by_name: dict[bytes, bytes] = {}

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "by_name", dict(self.headers))


class Answer(msgspec.Struct, frozen=True, gc=False):
    """One HTTP answer. ``record`` is the audit record to be made durable before the answer leaves:
    a JSON line without its newline, or None where there is none to write."""

    status: int
    content_type: bytes
    body: bytes
    request_id: str
    record: bytes | None = None


class Caller(msgspec.Struct, frozen=True):
    """Who signed the request, and where it is to act.

    ``region`` is the credential scope's. ``kind`` is CloudTrail's userIdentity type: Root, IAMUser or AWSService.
    """

    account: str
    region: str
    arn: str
    principal_id: str
    kind: str
    access_key_id: str = ""


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


class KeyRecord(msgspec.Struct, frozen=True):
    """A key and all its materials, as loaded and verified in one snapshot. ``opened`` holds what the keyring has opened
    of them, so that it goes when the record does."""

    key: Key
    materials: dict[str, KeyMaterial]
    opened: dict[str, object] = msgspec.field(default_factory=dict)

    def ends(self) -> float | None:
        """When the first of its imported materials expires."""
        dates = [m.valid_to for m in self.materials.values() if m.valid_to is not None and m.wrapped is not None]
        return min(dates, default=None)


class Grant(msgspec.Struct, frozen=True):
    """A grant. Principals are ARNs, service principals host names; ``constraints`` is the model's JSON, canonical."""

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
    """An identity. ``principal_id`` is unique for ever, so that a name used again is another principal."""

    principal_id: str
    account: str
    kind: str
    name: str
    policy: str | None = None
    version: int = 1

    @property
    def arn(self) -> str:
        """The IAM ARN (IAM user guide, "IAM identifiers")."""
        resource = "root" if self.kind == ROOT else f"user/{self.name}"
        return f"arn:aws:iam::{self.account}:{resource}"


class AccessKey(msgspec.Struct, frozen=True):
    """An access key; its secret is wrapped under a keyring key."""

    access_key_id: str
    principal_id: str
    keyring_version: int
    wrapped_secret: bytes
    created_at: float
    version: int = 1

    def __repr__(self) -> str:
        return f"AccessKey({self.access_key_id!r})"


ROOT: Final = "Root"
USER: Final = "IAMUser"
SERVICE: Final = "AWSService"
