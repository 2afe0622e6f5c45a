# SPDX-License-Identifier: Apache-2.0
"""Sign, Verify, GetPublicKey."""

from typing import Any

from keyquorum import api
from keyquorum.errors import KMSInvalidSignatureException, UnsupportedOperationException
from keyquorum.ops.metadata import ALGORITHMS_MEMBER
from keyquorum.ops.operation import Call, Keys, Operation, on_key
from keyquorum.ops.rules import check_algorithm
from keyquorum.specs import SIGN_VERIFY, SPECS, is_asymmetric

_RAW = "RAW"


def _sign(call: Call, request: api.SignRequest, keys: Keys) -> api.SignResponse:
    key = keys[0]
    algorithm = check_algorithm(key.key, str(request.signing_algorithm))
    signer = call.services.keyring.signer(key)
    signature = signer.sign(algorithm, request.message or b"", request.message_type or _RAW)
    return api.SignResponse(key_id=call.arn(key.key), signature=signature, signing_algorithm=algorithm)


def _verify(call: Call, request: api.VerifyRequest, keys: Keys) -> api.VerifyResponse:
    key = keys[0]
    algorithm = check_algorithm(key.key, str(request.signing_algorithm))
    signer = call.services.keyring.signer(key)
    message_type = request.message_type or _RAW
    if not signer.verify(algorithm, request.message or b"", message_type, request.signature or b""):
        raise KMSInvalidSignatureException
    return api.VerifyResponse(key_id=call.arn(key.key), signature_valid=True, signing_algorithm=algorithm)


def _get_public_key(call: Call, _request: api.GetPublicKeyRequest, keys: Keys) -> api.GetPublicKeyResponse:
    key = keys[0].key
    if not is_asymmetric(key.spec):
        raise UnsupportedOperationException(f"{call.arn(key)} key spec is {key.spec} which has no public key.")
    algorithms: dict[str, Any] = {ALGORITHMS_MEMBER[key.usage]: list(SPECS[key.spec].usages[key.usage])}
    return api.GetPublicKeyResponse(
        key_id=call.arn(key),
        public_key=call.services.keyring.public_half(keys[0]).public_key(),
        customer_master_key_spec=key.spec,
        key_spec=key.spec,
        key_usage=key.usage,
        **algorithms,
    )


OPERATIONS = (
    Operation(name="Sign", run=_sign, keys=on_key("kms:Sign", alias="allowed"), usage=SIGN_VERIFY, tracked=True),
    Operation(name="Verify", run=_verify, keys=on_key("kms:Verify", alias="allowed"), usage=SIGN_VERIFY, tracked=True),
    Operation(name="GetPublicKey", run=_get_public_key, keys=on_key("kms:GetPublicKey", alias="allowed")),
)
