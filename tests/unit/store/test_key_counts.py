# SPDX-License-Identifier: Apache-2.0
"""Keys are counted by state, each state as far as a bound, in one account and Region."""

from pathlib import Path

from inprocess import REGION, InProcess

from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.lifecycle import STATES
from keyquorum.store.key_counts import by_state


def test_each_state_is_counted_as_far_as_the_bound(tmp_path: Path) -> None:
    service = Service(Settings(data=tmp_path))
    try:
        account = service.settings.account
        inside = InProcess(service)
        kms = inside.client("kms", **inside.root(account))
        keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(4)]
        kms.disable_key(KeyId=keys[0])
        with service.database.read() as connection:
            assert by_state(connection, account, REGION, STATES, 10) == {"Enabled": 3, "Disabled": 1}
            assert by_state(connection, account, REGION, STATES, 2) == {"Enabled": 2, "Disabled": 1}
            assert by_state(connection, account, "eu-west-1", STATES, 10) == {}
            assert by_state(connection, "444455556666", REGION, STATES, 10) == {}
    finally:
        service.close()
