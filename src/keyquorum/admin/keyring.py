# SPDX-License-Identifier: Apache-2.0
"""The keyring keys of a data directory, for whoever can open its seal, while servers run on it or not."""

from collections.abc import Callable
from typing import NamedTuple

from keyquorum.admin.offline import reading, working
from keyquorum.config import Settings
from keyquorum.ops.keyring_keys import KEPT_SECONDS
from keyquorum.store import roots


class Standing(NamedTuple):
    """A keyring key, and how many materials and access keys are under it. Seconds since the epoch; ``destroyed_from``:
    when it will be destroyed, None for one that is in use."""

    version: int
    created_at: float
    materials: int
    access_keys: int
    retired_at: float | None
    destroyed_from: float | None


class Rotated(NamedTuple):
    """``version`` is of the newest keyring key, ``refused`` how many keys and access keys are not under it because rows
    were tampered with."""

    version: int
    refused: int


def status(settings: Settings) -> list[Standing]:
    """Oldest first; the last one wraps what is new. Raises ClientError, KMSError."""
    with reading(settings) as found, found.database.read() as connection:
        materials, access_keys = found.store.keys.materials, found.store.access_keys
        return [
            Standing(
                key.version,
                key.created_at,
                materials.count_under(connection, key.version),
                access_keys.count_under(connection, key.version),
                key.retired_at,
                None if key.retired_at is None else key.retired_at + KEPT_SECONDS,
            )
            for key in roots.known_keyring_keys(connection)
        ]


def rotate(settings: Settings, begun: Callable[[int, int], Callable[[int], None]], *, anew: bool = False) -> Rotated:
    """Make a new keyring key, and wrap everything under it; or, unless ``anew``, go on with that where it was left.
    ``begun`` is told the version and how many rows are to be done, and gives what is to be told how many were. Raises
    ClientError, KMSError."""
    with working(settings) as (service, _):
        version = service.rewrapping.rotate(anew=anew)
        refused = service.rewrapping.run(begun(version, service.rewrapping.left()))
        return Rotated(version, refused)
