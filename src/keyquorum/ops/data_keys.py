# SPDX-License-Identifier: Apache-2.0
"""GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom."""

from keyquorum import api
from keyquorum.errors import ValidationException
from keyquorum.ops.operation import Call, Keys, Operation, on_key
from keyquorum.specs import DATA_KEY_BYTES, ENCRYPT_DECRYPT

Request = api.GenerateDataKeyRequest | api.GenerateDataKeyWithoutPlaintextRequest


def _check(request: Request, _keys: Keys) -> None:
    if (request.key_spec is None) == (request.number_of_bytes is None):
        raise ValidationException("Please specify either number of bytes or key spec.")


def _data_key(call: Call, request: Request, keys: Keys) -> tuple[bytes, bytes]:
    """A new data key, and its ciphertext."""
    count = request.number_of_bytes or DATA_KEY_BYTES[str(request.key_spec)]
    plaintext = call.services.keyring.random(count)
    return plaintext, call.services.keyring.encrypt(keys[0], plaintext, request.encryption_context)


def _generate(call: Call, request: api.GenerateDataKeyRequest, keys: Keys) -> api.GenerateDataKeyResponse:
    plaintext, ciphertext = _data_key(call, request, keys)
    key = keys[0].key
    return api.GenerateDataKeyResponse(
        ciphertext_blob=ciphertext, plaintext=plaintext, key_id=call.arn(key), key_material_id=key.material_id
    )


def _generate_without_plaintext(
    call: Call, request: api.GenerateDataKeyWithoutPlaintextRequest, keys: Keys
) -> api.GenerateDataKeyWithoutPlaintextResponse:
    _, ciphertext = _data_key(call, request, keys)
    key = keys[0].key
    return api.GenerateDataKeyWithoutPlaintextResponse(
        ciphertext_blob=ciphertext, key_id=call.arn(key), key_material_id=key.material_id
    )


def _random(call: Call, request: api.GenerateRandomRequest, _keys: Keys) -> api.GenerateRandomResponse:
    if request.custom_key_store_id is not None:
        raise ValidationException("Custom key stores are not supported yet.")
    if request.number_of_bytes is None:
        raise ValidationException("NumberOfBytes is required.")
    return api.GenerateRandomResponse(plaintext=call.services.keyring.random(request.number_of_bytes))


OPERATIONS = (
    Operation(
        name="GenerateDataKey",
        run=_generate,
        keys=on_key("kms:GenerateDataKey", alias="allowed"),
        check=_check,
        usage=ENCRYPT_DECRYPT,
    ),
    Operation(
        name="GenerateDataKeyWithoutPlaintext",
        run=_generate_without_plaintext,
        keys=on_key("kms:GenerateDataKeyWithoutPlaintext", alias="allowed"),
        check=_check,
        usage=ENCRYPT_DECRYPT,
    ),
    Operation(name="GenerateRandom", run=_random),
)
