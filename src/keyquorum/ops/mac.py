# SPDX-License-Identifier: Apache-2.0
"""GenerateMac, VerifyMac."""

from keyquorum import api
from keyquorum.errors import KMSInvalidMacException
from keyquorum.ops.operation import Call, Keys, Operation, on_key
from keyquorum.ops.rules import check_algorithm
from keyquorum.specs import GENERATE_VERIFY_MAC


def _generate(call: Call, request: api.GenerateMacRequest, keys: Keys) -> api.GenerateMacResponse:
    key = keys[0]
    algorithm = check_algorithm(key.key, str(request.mac_algorithm))
    mac = call.services.keyring.mac(key).mac(algorithm, request.message or b"")
    return api.GenerateMacResponse(mac=mac, mac_algorithm=algorithm, key_id=call.arn(key.key))


def _verify(call: Call, request: api.VerifyMacRequest, keys: Keys) -> api.VerifyMacResponse:
    key = keys[0]
    algorithm = check_algorithm(key.key, str(request.mac_algorithm))
    if not call.services.keyring.mac(key).verify_mac(algorithm, request.message or b"", request.mac or b""):
        raise KMSInvalidMacException
    return api.VerifyMacResponse(key_id=call.arn(key.key), mac_valid=True, mac_algorithm=algorithm)


OPERATIONS = (
    Operation(
        name="GenerateMac",
        run=_generate,
        keys=on_key("kms:GenerateMac", alias="allowed"),
        usage=GENERATE_VERIFY_MAC,
        tracked=True,
    ),
    Operation(
        name="VerifyMac",
        run=_verify,
        keys=on_key("kms:VerifyMac", alias="allowed"),
        usage=GENERATE_VERIFY_MAC,
        tracked=True,
    ),
)
