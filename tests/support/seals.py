# SPDX-License-Identifier: Apache-2.0
"""All that the seals need outside of keyquorum: secrets in files and variables, a token of SoftHSM2, another KMS; and
the settings that lead there. ``prefix`` tells two of a kind apart."""

import base64
import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from servers import Production

from keyquorum.admin.seals import Wanted
from keyquorum.config import Settings

KINDS: Final = ("file", "passphrase", "environment", "shamir", "pkcs11", "kms")
MODULE: Final = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN: Final = "135790"
TOKEN: Final = "keyquorum test"
SHARE: Final = re.compile(r"^ *\d+: ((?:[a-z]+ ){32}[a-z]+)$", re.MULTILINE)


def need_softhsm() -> None:
    if not MODULE.exists() or shutil.which("softhsm2-util") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("SoftHSM2 is not installed")


class Token:
    """A token of SoftHSM2 of its own. ``variables``: by which a process finds it."""

    def __init__(self, directory: Path) -> None:
        need_softhsm()
        self.tokens = directory / "tokens"
        self.tokens.mkdir(parents=True)
        configuration = directory / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {self.tokens}\nlog.level = ERROR\n")
        self.variables = {"SOFTHSM2_CONF": str(configuration)}
        self.pin = secret_file(directory / "pin", PIN)
        self.initialize()

    def initialize(self) -> None:
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "97531"],
            env={**os.environ, **self.variables},
            check=True,
            capture_output=True,
        )

    def destroy(self) -> None:
        for entry in self.tokens.iterdir():
            shutil.rmtree(entry)

    @contextmanager
    def away(self) -> Iterator[None]:
        elsewhere = self.tokens.with_name("elsewhere")
        self.tokens.rename(elsewhere)
        self.tokens.mkdir()
        try:
            yield
        finally:
            self.back()

    def back(self) -> None:
        elsewhere = self.tokens.with_name("elsewhere")
        if elsewhere.exists():
            self.tokens.rmdir()
            elsewhere.rename(self.tokens)


def secret_file(path: Path, text: str) -> str:
    """The source that a file with this secret is."""
    path.write_text(text + "\n")
    path.chmod(0o600)
    return f"file:{path}"


class Places:
    """The settings of two seals of each kind: ``of(kind)`` and ``of(kind, second=True)``."""

    def __init__(
        self, directory: Path, token: Token, other: Production | None = None, keys: tuple[str, ...] = ()
    ) -> None:
        self.directory, self.token, self.other, self.keys = directory, token, other, keys

    @property
    def variables(self) -> dict[str, str]:
        if self.other is None:
            return self.token.variables
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return {**self.token.variables, **{name: self.other.env[name] for name in names}}

    def options(self, kind: str, *, second: bool = False) -> dict[str, str]:
        """Names of options without dashes before them -> values."""
        mark = "second" if second else "first"
        secret = base64.b64encode(mark.encode().ljust(32, b"-")).decode()
        key = self.directory / f"{mark}.b64"
        passphrase = self.directory / f"{mark}.txt"
        found: dict[str, dict[str, str]] = {
            "file": {},
            "passphrase": {"seal-passphrase": secret_file(passphrase, f"{mark} correct horse")},
            "environment": {"seal-environment": secret_file(key, secret)},
            "shamir": {},
            "pkcs11": {
                "seal-pkcs11-module": str(MODULE),
                "seal-pkcs11-token": TOKEN,
                "seal-pkcs11-pin": self.token.pin,
            },
            "kms": {}
            if self.other is None
            else {"seal-kms-key": self.keys[second], "seal-kms-endpoint": self.other.url},
        }
        return found[kind]

    def settings(self, data: Path, kind: str, *, second: bool = False, shares: tuple[str, ...] = ()) -> Settings:
        fields: dict[str, Any] = {n.replace("-", "_"): v for n, v in self.options(kind, second=second).items()}
        if "seal_pkcs11_module" in fields:
            fields["seal_pkcs11_module"] = MODULE
        if shares:
            fields["seal_shares"] = shares_file(data.with_name("shares"), shares)
        return Settings(data=data, seal=frozenset({kind}), **fields)

    def wanted(self, data: Path, kind: str, *, second: bool = False, **more: Any) -> Wanted:
        division = (2, 3) if kind == "shamir" else None
        return Wanted(self.settings(data, kind, second=second), kind, division, **more)


@contextmanager
def standing(make: pytest.TempPathFactory) -> Iterator[Places]:
    """Places of all kinds, another keyquorum among them, whose secrets are in this process's variables."""
    directory = make.mktemp("places")
    token = Token(directory)
    other = Production(make.mktemp("other"))
    kms = other.client()
    first, second = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    places = Places(directory, token, other, (first, second))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in places.variables.items():
            patch.setenv(name, value)
        yield places
    other.stop()


def shares_file(path: Path, shares: tuple[str, ...]) -> str:
    return secret_file(path, "\n".join(shares))


class Shown:
    """Takes the shares that are shown."""

    def __init__(self) -> None:
        self.shares: dict[str, tuple[str, ...]] = {}

    def __call__(self, what: str, shares: tuple[str, ...]) -> None:
        self.shares[what] = shares


def opening(places: Places, data: Path, kind: str, shown: Shown, *, second: bool = False) -> Settings:
    """With which a data directory that is sealed so opens again."""
    return places.settings(data, kind, second=second, shares=shown.shares.get("the seal", ())[:2])


def changed(settings: Settings, **fields: Any) -> Settings:
    return dataclasses.replace(settings, **fields)
