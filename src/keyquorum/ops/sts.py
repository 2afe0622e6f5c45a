# SPDX-License-Identifier: Apache-2.0
"""GetCallerIdentity of AWS STS. It needs no permission (STS API reference)."""

from typing import Any

from keyquorum.ops.operation import Call, Keys, Operation


def _identity(call: Call, _request: Any, _keys: Keys) -> list[tuple[str, str]]:
    caller = call.caller
    return [("Arn", caller.arn), ("UserId", caller.principal_id), ("Account", caller.account)]


OPERATIONS = (Operation(name="GetCallerIdentity", run=_identity),)
