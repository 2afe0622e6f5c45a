# SPDX-License-Identifier: Apache-2.0
"""Encrypt, Decrypt, ReEncrypt."""

from keyquorum import api, blob
from keyquorum.errors import (
    IncorrectKeyException,
    InvalidCiphertextException,
    InvalidKeyUsageException,
    ValidationException,
)
from keyquorum.model import Key
from keyquorum.ops.operation import Call, Keys, KeyUse, Operation, on_key
from keyquorum.specs import ENCRYPT_DECRYPT, SPECS, SYMMETRIC_DEFAULT


def _algorithm(key: Key, requested: str | None) -> str:
    algorithm = requested or SYMMETRIC_DEFAULT
    if algorithm not in SPECS[key.spec].algorithms:
        raise InvalidKeyUsageException(f"Algorithm {algorithm} is incompatible with key spec {key.spec}.")
    return algorithm


def _source(permission: str, key_id: str | None, ciphertext: bytes | None) -> KeyUse:
    """The key to decrypt with: the one named, else the one that the ciphertext names."""
    if ciphertext is None:
        # The model requires it no more, for the sake of dry runs without one; all others still need it.
        raise ValidationException(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: "
            "Member must not be null"
        )
    if key_id is not None:
        return KeyUse(permission, key_id, "allowed")
    parsed = blob.parse(ciphertext)
    if parsed is None:
        raise InvalidCiphertextException
    return KeyUse(permission, parsed.key_id, found_in="ciphertext")


def _check_source(key: Key, ciphertext: bytes | None) -> None:
    """AWS tells a damaged or a foreign ciphertext before it looks at the key's usage and state."""
    parsed = blob.parse(ciphertext or b"")
    if parsed is None:
        raise InvalidCiphertextException
    if parsed.key_id != key.key_id:
        raise IncorrectKeyException(
            "The key ID in the request does not identify a CMK that can perform this operation."
        )


def _encrypt(call: Call, request: api.EncryptRequest, keys: Keys) -> api.EncryptResponse:
    key = keys[0]
    algorithm = _algorithm(key.key, request.encryption_algorithm)
    return api.EncryptResponse(
        ciphertext_blob=call.services.keyring.encrypt(key, request.plaintext or b"", request.encryption_context),
        key_id=call.arn(key.key),
        encryption_algorithm=algorithm,
    )


def _decrypt_keys(request: api.DecryptRequest) -> tuple[KeyUse, ...]:
    return (_source("kms:Decrypt", request.key_id, request.ciphertext_blob),)


def _decrypt_check(request: api.DecryptRequest, keys: Keys) -> None:
    _check_source(keys[0].key, request.ciphertext_blob)


def _decrypt(call: Call, request: api.DecryptRequest, keys: Keys) -> api.DecryptResponse:
    key = keys[0]
    algorithm = _algorithm(key.key, request.encryption_algorithm)
    plaintext, material_id = call.services.keyring.decrypt(
        key, request.ciphertext_blob or b"", request.encryption_context
    )
    return api.DecryptResponse(
        key_id=call.arn(key.key),
        plaintext=plaintext,
        encryption_algorithm=algorithm,
        key_material_id=material_id,
    )


def _re_encrypt_keys(request: api.ReEncryptRequest) -> tuple[KeyUse, ...]:
    return (
        _source("kms:ReEncryptFrom", request.source_key_id, request.ciphertext_blob),
        KeyUse("kms:ReEncryptTo", str(request.destination_key_id), "allowed"),
    )


def _re_encrypt_check(request: api.ReEncryptRequest, keys: Keys) -> None:
    _check_source(keys[0].key, request.ciphertext_blob)


def _re_encrypt(call: Call, request: api.ReEncryptRequest, keys: Keys) -> api.ReEncryptResponse:
    source, destination = keys
    source_algorithm = _algorithm(source.key, request.source_encryption_algorithm)
    destination_algorithm = _algorithm(destination.key, request.destination_encryption_algorithm)
    keyring = call.services.keyring
    plaintext, material_id = keyring.decrypt(source, request.ciphertext_blob or b"", request.source_encryption_context)
    return api.ReEncryptResponse(
        ciphertext_blob=keyring.encrypt(destination, plaintext, request.destination_encryption_context),
        source_key_id=call.arn(source.key),
        key_id=call.arn(destination.key),
        source_encryption_algorithm=source_algorithm,
        destination_encryption_algorithm=destination_algorithm,
        source_key_material_id=material_id,
        destination_key_material_id=destination.key.material_id,
    )


OPERATIONS = (
    Operation(name="Encrypt", run=_encrypt, keys=on_key("kms:Encrypt", alias="allowed"), usage=ENCRYPT_DECRYPT),
    Operation(name="Decrypt", run=_decrypt, keys=_decrypt_keys, check=_decrypt_check, usage=ENCRYPT_DECRYPT),
    Operation(name="ReEncrypt", run=_re_encrypt, keys=_re_encrypt_keys, check=_re_encrypt_check, usage=ENCRYPT_DECRYPT),
)
