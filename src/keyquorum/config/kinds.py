# SPDX-License-Identifier: Apache-2.0
"""What an option may be: how it is read from a flag, a variable or TOML, and shown again. It knows no option."""

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from keyquorum import quotas, throttling

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MEBIBYTE: Final = 1024 * 1024
_YES: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
_NO: Final = frozenset({"0", "false", "f", "no", "n", "off"})


@dataclass(frozen=True, slots=True)
class Kind:
    """``parse`` takes a text, or a TOML value of one of the types ``toml``; where the kind is ``repeated``, a tuple of
    texts. It gives what the field of Settings holds, and raises ValueError, which need not say more than ``expects``
    does. ``show`` is for people and hides what is secret."""

    expects: str
    metavar: str
    parse: Callable[[Any], Any]
    toml: tuple[type, ...] = (str,)
    show: Callable[[Any], str] = str
    repeated: bool = False
    secret: bool = False

    @property
    def is_flag(self) -> bool:
        return self.toml == (bool,)


class Explained(ValueError):
    """A ValueError whose text tells more than ``expects``, and nothing secret."""


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _yes_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower()
    if text not in _YES | _NO:
        raise ValueError
    return text in _YES


def _path(value: Any) -> Path:
    if not value or "\0" in value:
        raise ValueError
    return Path(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not all(isinstance(text, str) for text in value):
        raise ValueError
    return tuple(value)


def _networks(value: Any) -> tuple[Network, ...]:
    try:
        return tuple([ipaddress.ip_network(text) for text in _texts(value)])
    except ValueError as error:
        raise Explained(str(error)) from error


def _set(value: Any) -> frozenset[str]:
    return frozenset(_texts(value.split(",") if isinstance(value, str) else value))


def _pairs(value: Any) -> tuple[str, ...]:
    """A table NAME = NUMBER, as texts NAME=NUMBER."""
    return tuple([f"{name}={number}" for name, number in value.items()]) if isinstance(value, dict) else _texts(value)


def _quotas(value: Any) -> quotas.Quotas:
    try:
        return quotas.parse(_pairs(value))
    except ValueError as error:
        raise Explained(str(error)) from error


def _rates(value: Any) -> dict[str, float]:
    try:
        return throttling.parse(_pairs(value))
    except ValueError as error:
        raise Explained(str(error)) from error


def _several(value: Any) -> str:
    return ", ".join(str(each) for each in (sorted(value) if isinstance(value, frozenset) else value))


def _changed(chosen: quotas.Quotas) -> str:
    """What is not as AWS has it."""
    names = [
        name for name in quotas.Quotas.__struct_fields__ if getattr(chosen, name) != getattr(quotas.Quotas(), name)
    ]
    return ", ".join(f"{name}={getattr(chosen, name)}" for name in names)


def without_password(url: str) -> str:
    """A URL with ``***`` for its password, and for those that its query holds."""
    try:
        parts = urlsplit(url)
        netloc = parts.netloc
        if "@" in netloc:
            user, _, host = netloc.rpartition("@")
            netloc = f"{user.partition(':')[0]}:***@{host}" if ":" in user else netloc
        hidden = [
            f"{name}=***" if "password" in name.lower() else f"{name}{equals}{value}"
            for name, equals, value in (pair.partition("=") for pair in parts.query.split("&"))
        ]
        return urlunsplit(parts._replace(netloc=netloc, query="&".join(hidden)))
    except ValueError:
        return "***"


def _postgresql(value: Any) -> str:
    """Refused before libpq sees it, whose errors repeat what they do not understand."""
    scheme, _, rest = value.partition("://")
    authority = rest.partition("?")[0].partition("/")[0]
    hosts = authority.rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    if scheme not in ("postgresql", "postgres") or "#" in value or any(not (p.isdigit() or p == "") for p in ports):
        raise ValueError
    if value.count("@") > authority.count("@") or authority.count("@") > 1:
        raise ValueError
    return str(value)


def choice(*names: str) -> Kind:
    def parse(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return Kind(f"one of {', '.join(names)}", f"[{'|'.join(names)}]", parse)


TEXT: Final = Kind("a text", "TEXT", str)
SECRET: Final = Kind("a text", "TEXT", str, show=lambda _: "***", secret=True)
#: A URL that may hold a password.
SECRET_URL: Final = Kind("a URL", "URL", str, show=without_password, secret=True)
RATES: Final = Kind(
    "FAMILY=N/s or OPERATION=N/s, or in TOML a table of them",
    "NAME=N/s",
    _rates,
    (dict, list),
    throttling.shown,
    repeated=True,
)
POSTGRESQL: Final = Kind(
    "a URL postgresql://USER@HOST:PORT/NAME, with %2F for / and %40 for @ in names and passwords",
    "URL",
    _postgresql,
    show=without_password,
    secret=True,
)
WHOLE: Final = Kind("a whole number", "NUMBER", int, (int,))
NUMBER: Final = Kind("a number", "NUMBER", _number, (int, float), "{:g}".format)
SECONDS: Final = Kind("a number of seconds", "SECONDS", _number, (int, float), "{:g}".format)
#: In bytes, told in MiB.
MEBIBYTES: Final = Kind(
    "a whole number of MiB", "MIB", lambda value: int(value) * _MEBIBYTE, (int,), lambda size: str(size // _MEBIBYTE)
)
YES_NO: Final = Kind("true or false", "", _yes_no, (bool,), lambda value: "true" if value else "false")
PATH: Final = Kind("a path", "PATH", _path)
TEXTS: Final = Kind("a list of texts", "TEXT", _texts, (list,), _several, repeated=True)
NAMES: Final = Kind(
    "a list of names", "NAME", lambda v: frozenset(text.lower() for text in _texts(v)), (list,), _several, repeated=True
)
NETWORKS: Final = Kind("a list of addresses and networks", "NETWORK", _networks, (list,), _several, repeated=True)
SET: Final = Kind("a list with commas", "A,B,...", _set, (str, list), _several)
QUOTAS: Final = Kind(
    "NAME=NUMBER, or in TOML a table of them", "NAME=NUMBER", _quotas, (dict, list), _changed, repeated=True
)
