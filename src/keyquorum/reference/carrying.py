# SPDX-License-Identifier: Apache-2.0
"""What of a request and its answer can go into the next request: a ciphertext of Encrypt into Decrypt, with the key and
the encryption context that go with it."""

from functools import cache
from typing import Any, Final

from msgspec import Struct

from keyquorum.reference.purposes import PURPOSES
from keyquorum.reference.shapes import request_fields, response_fields


class Follower(Struct, frozen=True):
    """``operation`` can follow; ``carries`` is the answer's member that makes it worth while."""

    operation: str
    carries: str


#: A member of an answer -> the operations that it is made for, each with the member that takes it.
_FITS: Final[dict[str, dict[str, str]]] = {
    "CiphertextBlob": {"Decrypt": "CiphertextBlob", "ReEncrypt": "CiphertextBlob"},
    "PrivateKeyCiphertextBlob": {"Decrypt": "CiphertextBlob"},
    "SharedSecretCiphertextBlob": {"Decapsulate": "SharedSecretCiphertextBlob"},
    "Plaintext": {"Encrypt": "Plaintext"},
    "Signature": {"Verify": "Signature"},
    "Mac": {"VerifyMac": "Mac"},
    "PublicKey": {"DeriveSharedSecret": "PublicKey"},
    "ImportToken": {"ImportKeyMaterial": "ImportToken"},
    "GrantToken": {"RetireGrant": "GrantToken"},
    "GrantId": {"RevokeGrant": "GrantId", "ListGrants": "GrantId"},
    "NextMarker": {},
    "Policy": {"PutKeyPolicy": "Policy"},
}

#: Members that mean the same under another name: of what follows -> of what went before.
_SAME: Final[dict[str, tuple[str, ...]]] = {
    "KeyId": ("KeyId", "TargetKeyId"),
    "SourceKeyId": ("KeyId",),
    "TargetKeyId": ("KeyId",),
    "SourceEncryptionContext": ("EncryptionContext", "DestinationEncryptionContext"),
    "EncryptionContext": ("EncryptionContext", "DestinationEncryptionContext"),
    "SourceEncryptionAlgorithm": ("EncryptionAlgorithm", "DestinationEncryptionAlgorithm"),
    "EncryptionAlgorithm": ("EncryptionAlgorithm", "DestinationEncryptionAlgorithm"),
    "Marker": ("NextMarker",),
}

#: What goes along where a request of the other operation has it too.
_ALONG: Final = frozenset(
    {
        "KeyId", "SourceKeyId", "EncryptionContext", "SourceEncryptionContext", "EncryptionAlgorithm",
        "SourceEncryptionAlgorithm", "Message", "MessageType", "SigningAlgorithm", "MacAlgorithm",
        "KeyAgreementAlgorithm", "EncapsulationAlgorithm", "AliasName", "ExpirationModel",
    }
)  # fmt: skip

#: Whose own key a carried member is not about.
_WITHOUT_KEY: Final = {("DeriveSharedSecret", "PublicKey"), ("RetireGrant", "GrantToken")}


@cache
def followers(operation: str) -> tuple[Follower, ...]:
    """What can follow the operation, by the members of its answer."""
    found = [
        Follower(following, field.name)
        for field in response_fields(operation)
        for following in _FITS.get(field.name, ())
        if following != operation
    ]
    if any(field.name == "NextMarker" for field in response_fields(operation)):
        found.append(Follower(operation, "NextMarker"))
    return tuple(found)


def about_keys() -> tuple[str, ...]:
    """The operations that a key alone can be carried into, by name."""
    return tuple(
        sorted(name for name in PURPOSES if any(f.name in ("KeyId", "TargetKeyId") for f in request_fields(name)))
    )


def carried(follower: Follower, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The members of the following request that are known by now; ``request`` and ``answer`` are those before."""
    target = _FITS.get(follower.carries, {}).get(follower.operation)
    if follower.carries == "NextMarker":
        return {**request, "Marker": answer["NextMarker"]}
    found: dict[str, Any] = {}
    before = {**request, **answer}
    for field in request_fields(follower.operation):
        if field.name == target:
            found[field.name] = answer[follower.carries]
        elif field.name in _ALONG and (follower.operation, follower.carries) not in _WITHOUT_KEY:
            names = _SAME.get(field.name, (field.name,))
            value = next((before[name] for name in names if name in before), None)
            if value is not None:
                found[field.name] = value
    return found
