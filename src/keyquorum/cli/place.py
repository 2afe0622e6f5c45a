# SPDX-License-Identifier: Apache-2.0
"""Where the commands of ``keyquorum iam`` are answered."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from keyquorum.cli.common import Configured

if TYPE_CHECKING:
    from keyquorum.admin.client import Send


class Place(NamedTuple):
    """Where operations are answered: by the server of the environment, or here, on a data directory."""

    offline: bool
    configured: Configured
    account: str | None

    @contextmanager
    def opened(self) -> Iterator["Send"]:
        from keyquorum.admin import client

        if self.offline:
            from keyquorum.admin import offline

            with offline.opened(self.configured.settings(), self.account) as send:
                yield send
        elif self.account is not None:
            raise client.ClientError("--account goes with --offline: a server goes by the access key")
        else:
            yield client.from_environment(os.environ)
