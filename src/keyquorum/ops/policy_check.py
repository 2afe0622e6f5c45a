# SPDX-License-Identifier: Apache-2.0
"""CheckKeyPolicy: what PutKeyPolicy would say of a policy, which it does not put. For whoever may put one. No operation
of AWS's API."""

from typing import Final

from keyquorum import own_api
from keyquorum.authz import lockout
from keyquorum.authz import policy as policies
from keyquorum.authz.binding import bind
from keyquorum.ops.operation import Call, Keys, KeyUse, Operation


def _keys(_call: Call, request: own_api.CheckKeyPolicyRequest) -> tuple[KeyUse, ...]:
    return (KeyUse("kms:PutKeyPolicy", str(request.key_id), row="PutKeyPolicy"),)


def _check(call: Call, request: own_api.CheckKeyPolicyRequest, keys: Keys) -> own_api.CheckKeyPolicyResponse:
    services = call.services
    parsed, names = policies.parse_key_policy(str(request.policy)), None
    if not services.development:
        with services.store.database.read() as connection:
            names = bind(
                parsed,
                lambda arn: services.store.identities.unique_id(connection, arn),
                lambda account: services.store.identities.has_account(connection, account),
            )
    keeps = lockout.allows_put_key_policy(parsed, call.access.subject, keys[0].key.account, names)
    return own_api.CheckKeyPolicyResponse(locks_out=not keeps)


OPERATIONS: Final = (Operation(name="CheckKeyPolicy", run=_check, keys=_keys, waits=True),)
