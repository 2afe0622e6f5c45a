# SPDX-License-Identifier: Apache-2.0
"""GetStatus: how the server is that answers. It tells of no key, no account, no caller, no address, and of nobody's
requests."""

from typing import Final

from keyquorum import own_api
from keyquorum.errors import ValidationException
from keyquorum.ops.operation import Call, Keys, Operation, in_account


def _status(call: Call, _request: own_api.GetStatusRequest, _keys: Keys) -> own_api.GetStatusResponse:
    tell = call.services.status
    if tell is None:
        raise ValidationException("This server tells no status.")
    return tell()


OPERATIONS: Final = (Operation(name="GetStatus", run=_status, needs=in_account("keyquorum:GetStatus"), waits=True),)
