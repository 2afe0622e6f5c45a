# SPDX-License-Identifier: Apache-2.0
"""The root key of a backup, opened by what it was sealed by."""

from keyquorum.backup.container import BackupError, Header
from keyquorum.config import Settings
from keyquorum.custody import kinds
from keyquorum.custody.attended import open_by_hand
from keyquorum.custody.passphrase import PassphraseSeal
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import RECOVERY, SealWaits
from keyquorum.model import SealedRoot

#: The role of a root key that a backup carries under a passphrase.
ROLE = "backup"


def open_root(header: Header, settings: Settings, passphrase: bytes | None, *, recovery: bool) -> RootKey:
    """By the seal of the settings, by the passphrase or, with ``recovery``, by the recovery seal. Raises BackupError if
    the backup is not under that, SealError."""
    if passphrase is not None:
        if header.passphrase is None:
            raise BackupError("the backup is under a seal, not under a passphrase")
        return RootKey(PassphraseSeal(passphrase).open(header.passphrase.row(), ROLE))
    if header.seal is None:
        raise BackupError("the backup is under a passphrase: say where it is with --passphrase")
    if not recovery:
        return RootKey(_open(settings, header.seal.row()))
    if header.recovery is None:
        raise BackupError("there was no recovery seal when the backup was made")
    return RootKey(open_by_hand(settings, header.recovery.row(), RECOVERY))


def _open(settings: Settings, sealed: SealedRoot) -> bytes:
    try:
        return kinds.opener(settings, sealed).open(sealed)
    except SealWaits:
        return open_by_hand(settings, sealed)
