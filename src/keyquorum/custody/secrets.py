# SPDX-License-Identifier: Apache-2.0
"""Secrets that a seal is given at its opening: a passphrase, a key, a PIN. A configuration names the source, and never
holds the secret itself; no argument of a program does, since everybody can read those of a process."""

import getpass
import os
import sys
from pathlib import Path
from typing import Final

from keyquorum.custody.seal import SealError

_LONGEST: Final = 4096
_SOURCES: Final = "file:PATH, env:NAME, credential:NAME, fd:NUMBER or prompt"


def read(source: str, what: str, longest: int = _LONGEST) -> bytes:
    """The secret, without a newline at its end. ``what``: for people, "PIN of the token". Raises SealError."""
    scheme, _, name = source.partition(":")
    try:
        if scheme == "file" and name:
            secret = _file(Path(name), what, longest)
        elif scheme == "credential" and name:
            secret = _credential(name, what, longest)
        elif scheme == "env" and name:
            secret = _variable(name, what)
        elif scheme == "fd" and name.isdecimal():
            secret = _drain(int(name), longest)
        elif source == "prompt":
            secret = _ask(what)
        else:
            raise SealError(f"the {what} must be said as {_SOURCES}")
    except OSError as error:
        raise SealError(f"the {what} cannot be read from {scheme}:{name}: {error.strerror}") from error
    secret = secret.removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        raise SealError(f"the {what} from {source} is empty")
    if len(secret) > longest:
        raise SealError(f"the {what} from {source} is longer than {longest} bytes")
    return secret


def _file(path: Path, what: str, longest: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # A group may be let in on purpose (fsGroup of Kubernetes); writing and everybody are never on purpose.
        if os.fstat(fd).st_mode & 0o037:
            raise SealError(f"{path}, with the {what}, is open to others; chmod 600 {path}")
        return _all(fd, longest)
    finally:
        os.close(fd)


def _credential(name: str, what: str, longest: int) -> bytes:
    """Source: systemd.exec(5), LoadCredential=; only the unit can read the directory."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory or "/" in name or name in (".", ".."):
        raise SealError(f"the {what} cannot be had: systemd gave this process no credential {name!r}")
    fd = os.open(Path(directory, name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _all(fd, longest)
    finally:
        os.close(fd)


def _variable(name: str, what: str) -> bytes:
    if name not in os.environ:
        raise SealError(f"the {what} cannot be had: the variable {name} is not set")
    return os.environb[name.encode()]


def _drain(fd: int, longest: int) -> bytes:
    """A descriptor is read to its end, and once."""
    try:
        return _all(fd, longest)
    finally:
        os.close(fd)


def _all(fd: int, longest: int) -> bytes:
    read = b""
    while len(read) <= longest and (more := os.read(fd, longest + 2 - len(read))):
        read += more
    return read


def _ask(what: str) -> bytes:
    if not sys.stdin.isatty():
        raise SealError(f"the {what} has to be typed, and there is no terminal; or say {_SOURCES}")
    return getpass.getpass(f"{what[:1].upper()}{what[1:]}: ").encode()
