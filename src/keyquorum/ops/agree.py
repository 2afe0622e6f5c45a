# SPDX-License-Identifier: Apache-2.0
"""DeriveSharedSecret, Encapsulate, Decapsulate."""

from keyquorum import api
from keyquorum.ops.operation import Call, Keys, Operation, on_key
from keyquorum.ops.rules import check_algorithm
from keyquorum.specs import ENCAPSULATE_DECAPSULATE, KEY_AGREEMENT


def _derive(call: Call, request: api.DeriveSharedSecretRequest, keys: Keys) -> api.DeriveSharedSecretResponse:
    key = keys[0]
    algorithm = check_algorithm(key.key, str(request.key_agreement_algorithm))
    secret = call.services.keyring.agreement(key).agree(algorithm, request.public_key or b"")
    return api.DeriveSharedSecretResponse(
        key_id=call.arn(key.key),
        shared_secret=secret,
        key_agreement_algorithm=algorithm,
        key_origin=key.key.origin,
    )


def _encapsulate(call: Call, request: api.EncapsulateRequest, keys: Keys) -> api.EncapsulateResponse:
    key = keys[0]
    algorithm = check_algorithm(key.key, str(request.encapsulation_algorithm))
    ciphertext, secret = call.services.keyring.encapsulation(key).encapsulate(algorithm)
    return api.EncapsulateResponse(
        key_id=call.arn(key.key),
        shared_secret=secret,
        shared_secret_ciphertext_blob=ciphertext,
        encapsulation_algorithm=algorithm,
    )


def _decapsulate(call: Call, request: api.DecapsulateRequest, keys: Keys) -> api.DecapsulateResponse:
    key = keys[0]
    algorithm = check_algorithm(key.key, str(request.encapsulation_algorithm))
    encapsulation = call.services.keyring.encapsulation(key)
    secret = encapsulation.decapsulate(algorithm, request.shared_secret_ciphertext_blob or b"")
    return api.DecapsulateResponse(key_id=call.arn(key.key), shared_secret=secret, encapsulation_algorithm=algorithm)


OPERATIONS = (
    Operation(
        name="DeriveSharedSecret",
        run=_derive,
        keys=on_key("kms:DeriveSharedSecret", alias="allowed"),
        usage=KEY_AGREEMENT,
        tracked=True,
    ),
    Operation(
        name="Encapsulate",
        run=_encapsulate,
        keys=on_key("kms:Encapsulate", alias="allowed"),
        usage=ENCAPSULATE_DECAPSULATE,
        tracked=True,
    ),
    Operation(
        name="Decapsulate",
        run=_decapsulate,
        keys=on_key("kms:Decapsulate", alias="allowed"),
        usage=ENCAPSULATE_DECAPSULATE,
        tracked=True,
    ),
)
