# SPDX-License-Identifier: Apache-2.0
"""GetKeyPolicy, PutKeyPolicy, ListKeyPolicies. What a key policy allows is decided in ``authz``."""

from typing import Final

from keyquorum import api
from keyquorum.errors import NotFoundException, ValidationException
from keyquorum.ops.operation import Call, Keys, KeyUse, Operation, on_key
from keyquorum.ops.rules import acceptable_policy

_NAME: Final = "default"


def _get(call: Call, request: api.GetKeyPolicyRequest, keys: Keys) -> api.GetKeyPolicyResponse:
    if request.policy_name not in (None, _NAME):
        raise NotFoundException("No such policy exists")
    with call.services.store.database.read() as connection:
        policy = call.services.store.keys.policy(connection, keys[0].key)
    return api.GetKeyPolicyResponse(policy=policy.document, policy_name=_NAME)


def _put_keys(call: Call, request: api.PutKeyPolicyRequest) -> tuple[KeyUse, ...]:
    if request.policy_name not in (None, _NAME):
        raise ValidationException(f"The only valid policy name is {_NAME}.")
    return on_key("kms:PutKeyPolicy")(call, request)


def _put(call: Call, request: api.PutKeyPolicyRequest, keys: Keys) -> None:
    key = keys[0].key
    policy = acceptable_policy(call, request.policy, key.account, bypass=request.bypass_policy_lockout_safety_check)
    call.services.store.keys.put_policy(call.write(), key, policy)


def _list(call: Call, request: api.ListKeyPoliciesRequest, keys: Keys) -> api.ListKeyPoliciesResponse:
    if request.marker is not None:
        # There is one policy and so one page; whatever this marker is, it was not issued for it.
        call.services.pages.read(f"ListKeyPolicies {keys[0].key.name}", request.marker)
    return api.ListKeyPoliciesResponse(policy_names=[_NAME], truncated=False)


OPERATIONS = (
    Operation(name="GetKeyPolicy", run=_get, keys=on_key("kms:GetKeyPolicy"), waits=True),
    Operation(name="PutKeyPolicy", run=_put, keys=_put_keys, changes=True),
    Operation(name="ListKeyPolicies", run=_list, keys=on_key("kms:ListKeyPolicies")),
)
