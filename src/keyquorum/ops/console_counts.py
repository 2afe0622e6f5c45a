# SPDX-License-Identifier: Apache-2.0
"""CountKeys: how many keys an account has in a Region, by state. It tells of no key, and asks for what would tell of
all: kms:ListKeys, and kms:DescribeKey on all keys, by identity-based policies."""

from typing import Final

from keyquorum import own_api
from keyquorum.arns import LAYOUTS
from keyquorum.lifecycle import STATES
from keyquorum.ops.operation import Call, Keys, Need, Operation
from keyquorum.store.key_counts import by_state

#: In each state.
_MOST: Final = 100_000


def _needs(call: Call, _request: own_api.CountKeysRequest) -> tuple[Need, ...]:
    all_keys, *others = [layout.key(call.caller.region, call.caller.account, "*") for layout in LAYOUTS]
    return Need("kms:ListKeys"), Need("kms:DescribeKey", all_keys, tuple(others))


def _count(call: Call, _request: own_api.CountKeysRequest, _keys: Keys) -> own_api.CountKeysResponse:
    with call.services.store.database.read() as connection:
        found = by_state(connection, call.caller.account, call.caller.region, STATES, _MOST)
    return own_api.CountKeysResponse(by_state=found, truncated=_MOST in found.values())


OPERATIONS: Final = (Operation(name="CountKeys", run=_count, needs=_needs, waits=True),)
