# SPDX-License-Identifier: Apache-2.0
"""The nouns: requests, callers, keys, aliases, identities. Values only; nothing here loads, decides or decrypts."""

from typing import Final

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, gc=False):
    """One HTTP request as it came over the socket: nothing decoded, nothing normalised.

    ``target`` is the raw request target (path and query). Header names are in lower case; values are raw bytes,
    in the order of arrival, duplicates included. ``peer`` is the client's address without port.
    """

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    peer: str


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
    """A KMS key without its material. Times are seconds since the epoch; ``tags`` are in order of their keys."""

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
    deletion_date: float | None = None
    tags: tuple[tuple[str, str], ...] = ()
    version: int = 1


class KeyMaterial(msgspec.Struct, frozen=True):
    """One key material of a key, wrapped under a keyring key. ``wrapped`` opens for its own key and ID alone."""

    material_id: str
    key_id: str
    keyring_version: int
    wrapped: bytes
    created_at: float
    version: int = 1

    def __repr__(self) -> str:
        return f"KeyMaterial({self.material_id!r}, key_id={self.key_id!r})"


class KeyRecord(msgspec.Struct, frozen=True):
    """A key and all its materials, as loaded and verified in one snapshot."""

    key: Key
    materials: dict[str, KeyMaterial]


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
