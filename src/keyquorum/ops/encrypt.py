# SPDX-License-Identifier: Apache-2.0
"""Encrypt, Decrypt, ReEncrypt: with symmetric encryption keys, and with RSA keys of that usage."""

from keyquorum import api, blob
from keyquorum.authz.authorize import AuthorizedKey
from keyquorum.errors import (
    InvalidCiphertextException,
    ValidationException,
)
from keyquorum.model import Key
from keyquorum.ops.operation import Call, Keys, KeyUse, Operation, on_key
from keyquorum.ops.rules import check_algorithm
from keyquorum.specs import ENCRYPT_DECRYPT, SYMMETRIC_DEFAULT, is_symmetric

_Context = dict[str, str] | None


def _algorithm(key: Key, requested: str | None, context: _Context) -> str:
    algorithm = check_algorithm(key, requested or SYMMETRIC_DEFAULT)
    if context and not is_symmetric(key.spec):
        raise ValidationException("EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.")
    return algorithm


def _seal(call: Call, key: AuthorizedKey, algorithm: str, plaintext: bytes, context: _Context) -> bytes:
    if is_symmetric(key.key.spec):
        return call.services.keyring.encrypt(key, plaintext, context)
    return call.services.keyring.encrypter(key).encrypt(algorithm, plaintext)


def _unseal(
    call: Call, key: AuthorizedKey, algorithm: str, ciphertext: bytes, context: _Context
) -> tuple[bytes, str | None]:
    """The plaintext, and the ID of the key material where AWS tells it."""
    if is_symmetric(key.key.spec):
        return call.services.keyring.decrypt(key, ciphertext, context)
    return call.services.keyring.encrypter(key).decrypt(algorithm, ciphertext), None


def _ignores_ciphertext(request: api.DecryptRequest | api.ReEncryptRequest) -> bool:
    """Whether this is a dry run that asks about the key alone."""
    return bool(request.dry_run) and "IGNORE_CIPHERTEXT" in (request.dry_run_modifiers or ())


def _source(
    permission: str, key_id: str | None, algorithm: str | None, ciphertext: bytes | None, *, ignored: bool
) -> KeyUse:
    """The key to decrypt with: the one named, else the one that the ciphertext names, unless that is to be ignored."""
    if ciphertext is None and not ignored:
        # The model requires it no more, for the sake of dry runs without one; all others still need it.
        raise ValidationException(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: "
            "Member must not be null"
        )
    if key_id is not None:
        return KeyUse(permission, key_id, "allowed")
    if ciphertext is None or ignored or algorithm not in (None, SYMMETRIC_DEFAULT):
        raise ValidationException("KeyId must not be null")
    parsed = blob.parse(ciphertext)
    if parsed is None:
        raise InvalidCiphertextException
    return KeyUse(permission, parsed.key_id, found_in="ciphertext")


def _check_source(call: Call, key: AuthorizedKey, algorithm: str | None, ciphertext: bytes | None) -> None:
    """AWS tells a damaged or a foreign ciphertext before it looks at the key's usage and state."""
    if algorithm in (None, SYMMETRIC_DEFAULT):
        call.services.keyring.parse(key, ciphertext or b"")


def _encrypt(call: Call, request: api.EncryptRequest, keys: Keys) -> api.EncryptResponse:
    key, context = keys[0], request.encryption_context
    algorithm = _algorithm(key.key, request.encryption_algorithm, context)
    return api.EncryptResponse(
        ciphertext_blob=_seal(call, key, algorithm, request.plaintext or b"", context),
        key_id=call.arn(key.key),
        encryption_algorithm=algorithm,
    )


def _decrypt_keys(_call: Call, request: api.DecryptRequest) -> tuple[KeyUse, ...]:
    algorithm, ignored = request.encryption_algorithm, _ignores_ciphertext(request)
    return (_source("kms:Decrypt", request.key_id, algorithm, request.ciphertext_blob, ignored=ignored),)


def _decrypt_check(call: Call, request: api.DecryptRequest, keys: Keys) -> None:
    if not _ignores_ciphertext(request):
        _check_source(call, keys[0], request.encryption_algorithm, request.ciphertext_blob)


def _decrypt(call: Call, request: api.DecryptRequest, keys: Keys) -> api.DecryptResponse | None:
    key, context = keys[0], request.encryption_context
    algorithm = _algorithm(key.key, request.encryption_algorithm, context)
    if _ignores_ciphertext(request):
        return None
    plaintext, material_id = _unseal(call, key, algorithm, request.ciphertext_blob or b"", context)
    return api.DecryptResponse(
        key_id=call.arn(key.key),
        plaintext=plaintext,
        encryption_algorithm=algorithm,
        key_material_id=material_id,
    )


def _re_encrypt_keys(_call: Call, request: api.ReEncryptRequest) -> tuple[KeyUse, ...]:
    algorithm = request.source_encryption_algorithm
    return (
        _source(
            "kms:ReEncryptFrom",
            request.source_key_id,
            algorithm,
            request.ciphertext_blob,
            ignored=_ignores_ciphertext(request),
        ),
        KeyUse("kms:ReEncryptTo", str(request.destination_key_id), "allowed"),
    )


def _re_encrypt_check(call: Call, request: api.ReEncryptRequest, keys: Keys) -> None:
    if not _ignores_ciphertext(request):
        _check_source(call, keys[0], request.source_encryption_algorithm, request.ciphertext_blob)


def _re_encrypt(call: Call, request: api.ReEncryptRequest, keys: Keys) -> api.ReEncryptResponse | None:
    source, destination = keys
    from_context, to_context = request.source_encryption_context, request.destination_encryption_context
    from_algorithm = _algorithm(source.key, request.source_encryption_algorithm, from_context)
    to_algorithm = _algorithm(destination.key, request.destination_encryption_algorithm, to_context)
    if _ignores_ciphertext(request):
        return None
    plaintext, material_id = _unseal(call, source, from_algorithm, request.ciphertext_blob or b"", from_context)
    return api.ReEncryptResponse(
        ciphertext_blob=_seal(call, destination, to_algorithm, plaintext, to_context),
        source_key_id=call.arn(source.key),
        key_id=call.arn(destination.key),
        source_encryption_algorithm=from_algorithm,
        destination_encryption_algorithm=to_algorithm,
        source_key_material_id=material_id,
        destination_key_material_id=destination.key.material_id if is_symmetric(destination.key.spec) else None,
    )


OPERATIONS = (
    Operation(
        name="Encrypt",
        run=_encrypt,
        keys=on_key("kms:Encrypt", alias="allowed"),
        usage=ENCRYPT_DECRYPT,
        tracked=True,
    ),
    Operation(
        name="Decrypt",
        run=_decrypt,
        keys=_decrypt_keys,
        check=_decrypt_check,
        usage=ENCRYPT_DECRYPT,
        tracked=True,
    ),
    Operation(
        name="ReEncrypt",
        run=_re_encrypt,
        keys=_re_encrypt_keys,
        check=_re_encrypt_check,
        usage=ENCRYPT_DECRYPT,
        tracked=True,
    ),
)
