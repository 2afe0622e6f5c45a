# SPDX-License-Identifier: Apache-2.0
"""GetKeyLastUsage: exact for each key and Region, and it names the audit record."""

from keyquorum import api
from keyquorum.ops.operation import Call, Keys, Operation, on_key


def _last_usage(call: Call, _request: api.GetKeyLastUsageRequest, keys: Keys) -> api.GetKeyLastUsageResponse:
    key = keys[0].key
    use = call.services.usage.last(key)
    data = api.KeyLastUsageData()
    if use is not None:
        data = api.KeyLastUsageData(
            operation=use.operation,
            timestamp=use.used_at,
            cloud_trail_event_id=use.event_id,
            kms_request_id=use.request_id,
        )
    return api.GetKeyLastUsageResponse(
        key_id=call.arn(key),
        key_last_usage=data,
        tracking_start_date=key.created_at,
        key_creation_date=key.created_at,
    )


OPERATIONS = (Operation(name="GetKeyLastUsage", run=_last_usage, keys=on_key("kms:GetKeyLastUsage"), waits=True),)
