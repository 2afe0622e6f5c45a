# SPDX-License-Identifier: Apache-2.0
"""GenerateDataKey, GenerateDataKeyPair, each also WithoutPlaintext, and GenerateRandom."""

from keyquorum import api
from keyquorum.errors import InvalidKeyUsageException, UnsupportedOperationException, ValidationException
from keyquorum.ops.operation import Call, Keys, Operation, in_account, on_key
from keyquorum.specs import DATA_KEY_BYTES, ENCRYPT_DECRYPT, is_symmetric

_DataKey = api.GenerateDataKeyRequest | api.GenerateDataKeyWithoutPlaintextRequest
_Pair = api.GenerateDataKeyPairRequest | api.GenerateDataKeyPairWithoutPlaintextRequest


def _check(_call: Call, request: _DataKey, _keys: Keys) -> None:
    if (request.key_spec is None) == (request.number_of_bytes is None):
        raise ValidationException("Please specify either number of bytes or key spec.")


def _require_symmetric(keys: Keys) -> None:
    if not is_symmetric(keys[0].key.spec):
        raise InvalidKeyUsageException("You cannot generate a data key with an asymmetric CMK")


def _data_key(call: Call, request: _DataKey, keys: Keys) -> tuple[bytes, bytes]:
    """A new data key, and its ciphertext."""
    _require_symmetric(keys)
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


def _data_key_pair(call: Call, request: _Pair, keys: Keys) -> tuple[bytes, bytes, bytes]:
    """Private key, public key, and the ciphertext of the private key."""
    _require_symmetric(keys)
    spec = str(request.key_pair_spec)
    if spec == "SM2":
        raise UnsupportedOperationException("KeyPairSpec SM2 is not supported in this Region.")
    private, public = call.services.keyring.data_key_pair(spec)
    return private, public, call.services.keyring.encrypt(keys[0], private, request.encryption_context)


def _computes(request: _Pair) -> bool:
    return str(request.key_pair_spec).startswith("RSA_")


def _generate_pair(call: Call, request: api.GenerateDataKeyPairRequest, keys: Keys) -> api.GenerateDataKeyPairResponse:
    private, public, ciphertext = _data_key_pair(call, request, keys)
    key = keys[0].key
    return api.GenerateDataKeyPairResponse(
        private_key_ciphertext_blob=ciphertext,
        private_key_plaintext=private,
        public_key=public,
        key_id=call.arn(key),
        key_pair_spec=request.key_pair_spec,
        key_material_id=key.material_id,
    )


def _generate_pair_without_plaintext(
    call: Call, request: api.GenerateDataKeyPairWithoutPlaintextRequest, keys: Keys
) -> api.GenerateDataKeyPairWithoutPlaintextResponse:
    _, public, ciphertext = _data_key_pair(call, request, keys)
    key = keys[0].key
    return api.GenerateDataKeyPairWithoutPlaintextResponse(
        private_key_ciphertext_blob=ciphertext,
        public_key=public,
        key_id=call.arn(key),
        key_pair_spec=request.key_pair_spec,
        key_material_id=key.material_id,
    )


def _random(call: Call, request: api.GenerateRandomRequest, _keys: Keys) -> api.GenerateRandomResponse:
    if request.custom_key_store_id is not None:
        raise UnsupportedOperationException("Custom key stores are not supported yet.")
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
        tracked=True,
    ),
    Operation(
        name="GenerateDataKeyWithoutPlaintext",
        run=_generate_without_plaintext,
        keys=on_key("kms:GenerateDataKeyWithoutPlaintext", alias="allowed"),
        check=_check,
        usage=ENCRYPT_DECRYPT,
        tracked=True,
    ),
    Operation(
        name="GenerateDataKeyPair",
        run=_generate_pair,
        keys=on_key("kms:GenerateDataKeyPair", alias="allowed"),
        usage=ENCRYPT_DECRYPT,
        waits=True,
        computes=_computes,
        tracked=True,
    ),
    Operation(
        name="GenerateDataKeyPairWithoutPlaintext",
        run=_generate_pair_without_plaintext,
        keys=on_key("kms:GenerateDataKeyPairWithoutPlaintext", alias="allowed"),
        usage=ENCRYPT_DECRYPT,
        waits=True,
        computes=_computes,
        tracked=True,
    ),
    Operation(name="GenerateRandom", run=_random, needs=in_account("kms:GenerateRandom")),
)
