# SPDX-License-Identifier: Apache-2.0
"""The table of seals: how each is opened with what the configuration has, made anew, and put away when the root key is
sealed otherwise. Which kinds may be opened is the configuration's to say; a row of another kind is refused unopened."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyquorum.config import Settings
from keyquorum.custody import environment, kms, passphrase, pkcs11, secrets, shamir
from keyquorum.custody.seal import (
    FILE,
    FileSeal,
    KeySeal,
    Seal,
    SealError,
    SealWaits,
    create_key_file,
    kind_of,
    shown,
)
from keyquorum.layout import DataDirectory, sync_directory
from keyquorum.model import SealedRoot

#: A passphrase that is brought to the running server.
API: Final = "api"


@dataclass(frozen=True, slots=True)
class Made:
    """A seal that nothing is sealed by yet. ``shares``: to be shown before anything is. ``settle``: once the root key
    is sealed by it; gives the file that holds the key before, if that had to make room."""

    seal: Seal
    shares: tuple[str, ...] = ()
    settle: Callable[[], Path | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Kind:
    """``open``: the seal of the configuration. ``make``: a new one; with True, where there may be an older one of this
    kind, which stays as it is. ``remove``: what opened a row, for good, and says so; None where that is not ours to
    do."""

    open: Callable[[Settings], Seal]
    make: Callable[[Settings, bool], Made]
    remove: Callable[[Settings, SealedRoot], str] | None = None


def key_file(settings: Settings) -> Path:
    if settings.seal_file is not None:
        return settings.seal_file
    if settings.data is None:
        raise SealError("--seal-file is needed where there is no data directory")
    return DataDirectory(settings.data).seal_key


def _open_file(settings: Settings) -> FileSeal:
    return FileSeal(key_file(settings))


def _make_file(settings: Settings, anew: bool) -> Made:
    seal = _open_file(settings)
    if not anew or not seal.path.exists():
        create_key_file(seal.path)
        return Made(seal)
    # What a rotation left that never came to be used; that which did is in its place (``finish``).
    seal.next.unlink(missing_ok=True)
    create_key_file(seal.next)
    return Made(FileSeal(seal.next), settle=lambda: _replace(seal))


def _replace(seal: FileSeal) -> Path:
    """Another name for the key that was, since backups are still sealed by it; then the new key in its place. At no
    moment does the name lead to no key."""
    number = 1
    while (retired := seal.path.with_name(f"{seal.path.name}.{number}")).exists():
        number += 1
    os.link(seal.path, retired)
    seal.next.replace(seal.path)
    sync_directory(seal.path.parent)
    return retired


def finish(settings: Settings, sealed: SealedRoot) -> None:
    """Take up a rotation of a key file that died after its change was committed. Raises SealError if nothing opens."""
    if kind_of(sealed) != FILE:
        return
    seal = _open_file(settings)
    if seal.next.exists():
        try:
            read = FileSeal(seal.next).open(sealed)
        except SealError:
            return
        if read:
            _replace(seal)


def _remove_file(settings: Settings, _sealed: SealedRoot) -> str:
    path = key_file(settings)
    path.unlink(missing_ok=True)
    sync_directory(path.parent)
    return f"removed {path}"


def _passphrase(settings: Settings) -> passphrase.PassphraseSeal:
    return passphrase.PassphraseSeal(secrets.read(settings.seal_passphrase, "passphrase of the seal"))


def _make_passphrase(settings: Settings, _anew: bool) -> Made:
    source = settings.seal_passphrase
    if source == API:
        source = "prompt"
    seal = passphrase.PassphraseSeal(secrets.read(source, "new passphrase of the seal"))
    if source == "prompt":
        again = passphrase.PassphraseSeal(secrets.read(source, "same passphrase again"))
        if not seal.is_the_same_as(again):
            raise SealError("the passphrases differ")
    return Made(seal)


def _environment(settings: Settings) -> KeySeal:
    return environment.environment_seal(secrets.read(settings.seal_environment, "environment's seal key"))


def _where(settings: Settings) -> pkcs11.Where:
    if settings.seal_pkcs11_module is None or not settings.seal_pkcs11_token:
        raise SealError("a seal in an HSM needs --seal-pkcs11-module and --seal-pkcs11-token")
    return pkcs11.Where(settings.seal_pkcs11_module, settings.seal_pkcs11_token, settings.seal_pkcs11_key)


def _hsm(settings: Settings) -> pkcs11.Pkcs11Seal:
    where = _where(settings)
    return pkcs11.Pkcs11Seal(where, secrets.read(settings.seal_pkcs11_pin, f"PIN of the token {where.token}"))


def _remove_hsm_key(settings: Settings, sealed: SealedRoot) -> str:
    _hsm(settings).destroy_key(sealed)
    return "destroyed the key in the token"


def _kms(settings: Settings) -> kms.KmsSeal:
    if not settings.seal_kms_key:
        raise SealError("a seal at another KMS needs --seal-kms-key")
    return kms.KmsSeal(kms.Where(settings.seal_kms_key, settings.seal_kms_endpoint))


def _shamir(_settings: Settings) -> Seal:
    raise SealError("shares open no seal before they are brought together")


def _undivided(_settings: Settings, _anew: bool) -> Made:
    raise SealError("a seal of shares needs --shares and --threshold")


def divided(threshold: int, shares: int) -> Made:
    """A new Shamir seal: a secret of its own, divided. Raises SealError."""
    secret = os.urandom(KeySeal.KEY_BYTES)
    split, mnemonics = shamir.divide(secret, threshold, shares)
    assert shamir.combine([shamir.read_share(text, split) for text in mnemonics[-threshold:]]) == secret
    return Made(shamir.seal_of(secret, split), tuple(mnemonics))


KINDS: Final[dict[str, Kind]] = {
    FILE: Kind(_open_file, _make_file, _remove_file),
    passphrase.KIND: Kind(_passphrase, _make_passphrase),
    environment.KIND: Kind(_environment, lambda settings, _: Made(_environment(settings))),
    shamir.KIND: Kind(_shamir, _undivided),
    pkcs11.KIND: Kind(_hsm, lambda settings, _: Made(_hsm(settings).make_key()), _remove_hsm_key),
    kms.KIND: Kind(_kms, lambda settings, _: Made(_kms(settings))),
}


def make(settings: Settings, kind: str, division: tuple[int, int] | None, *, anew: bool) -> Made:
    """A new seal. ``division``: threshold and shares of Shamir's. ``anew``: not the first of this database. Raises
    SealError."""
    if division is not None:
        if kind != shamir.KIND:
            raise SealError(f"--shares and --threshold are for a seal of shares, not for {kind}")
        return divided(*division)
    return KINDS[kind].make(settings, anew)


def opener(settings: Settings, sealed: SealedRoot) -> Seal:
    """The seal of a row, if the configuration allows its kind. Raises SealError, and SealWaits where people have to
    bring what opens it."""
    kind = kind_of(sealed)
    if kind not in settings.seal:
        allowed = ", ".join(sorted(settings.seal))
        raise SealError(
            f"the root key is sealed by {shown(kind)}, and the configuration has --seal {allowed}: nothing is opened "
            "as the database alone would have it"
        )
    if kind == shamir.KIND:
        split = shamir.split_of(sealed)
        raise SealWaits(f"the root key is sealed: {split.threshold} of {split.shares} shares open it", sealed)
    if kind == passphrase.KIND and settings.seal_passphrase == API:
        raise SealWaits("the root key is sealed: its passphrase opens it", sealed)
    return KINDS[kind].open(settings)
