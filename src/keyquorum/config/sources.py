# SPDX-License-Identifier: Apache-2.0
"""From flags, environment and TOML file to Settings: flags win over the environment, and that over the file.

A key that the file has and no option does is an error: a security setting that was misspelt would silently not be. So
is a file that others could write, since what it names is loaded and trusted, or read, if it holds a secret. A variable
of such a name is warned of only: Kubernetes sets KEYQUORUM_SERVICE_HOST and its like by itself in every pod beside a
service named keyquorum.
"""

import difflib
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import platformdirs

from keyquorum.config.kinds import Explained
from keyquorum.config.options import OPTIONS, OTHER_VARIABLES, PREFIX, Option
from keyquorum.config.settings import ConfigError, Settings, is_loopback

#: Read if it is there and nothing names another; never with --dev.
DEFAULT_FILE: Final = Path("/etc/keyquorum/keyquorum.toml")
FILE_VARIABLE: Final = "KEYQUORUM_CONFIG"


class Given(NamedTuple):
    """A value, and who gives it: a flag, a variable, or a place in a file."""

    value: Any
    origin: str


@dataclass(slots=True)
class Configuration:
    """What was given, option by option. ``warnings`` are sentences."""

    file: Path | None = None
    given: dict[str, Given] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def settings(self, *, serving: bool = True) -> Settings:
        """Raises ConfigError. Without ``serving`` they are for a command that opens what a server keeps: never of a
        development server."""
        values = {OPTIONS[name].attribute: given.value for name, given in self.given.items()}
        values.pop("", None)
        if serving:
            values |= self._development()
        else:
            values |= {"development": False, "dev_hosts": frozenset()}
        development = values["development"]
        values["data"] = None if development else (values.get("data") or _user_data()).absolute()
        settings = Settings(**values)
        try:
            settings.check(serving=serving)
        except ConfigError as error:
            raise ConfigError(self._told_where(str(error))) from error
        return settings

    def _development(self) -> dict[str, Any]:
        """The rules of --dev, which are about what was said rather than about what holds."""
        given = self.given
        listen = given.get("dev-listen")
        if "dev" not in given or not given["dev"].value:
            if listen is not None or "dev-host" in given:
                raise ConfigError("--dev-listen and --dev-host go with --dev")
            return {"development": False}
        for name in _NOT_WITH_DEV:
            if name in given:
                flag = OPTIONS[name].flag
                raise ConfigError(f"--dev keeps everything in the memory of one process; it refuses {flag}")
        if "host" in given and not is_loopback(given["host"].value):
            raise ConfigError("--dev listens on loopback; say --dev-listen to have it reachable by others")
        return {"development": True} | ({} if listen is None else {"host": listen.value, "insecure_http": True})

    def _told_where(self, text: str) -> str:
        """An error about --account, which was given as KEYQUORUM_ACCOUNT, is about that."""
        flag, space, rest = text.partition(" ")
        given = self.given.get(flag.removeprefix("--"))
        return text if given is None else f"{given.origin}{space}{rest}"


#: They would do nothing, or not what they say.
_NOT_WITH_DEV: Final = ["data", "workers"]


def read(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> Configuration:
    """``flags``: what the command line has, by option; texts, and tuples of texts where an option may be repeated.
    ``file``: that of --config. Raises ConfigError."""
    found = Configuration()
    set_variables = {name: text for name, text in environment.items() if name.startswith(PREFIX) and text != ""}
    for name in set_variables.keys() - {option.variable for option in OPTIONS.values()} - OTHER_VARIABLES:
        known = [option.variable.removeprefix(PREFIX) for option in OPTIONS.values()]
        near = _nearest(name.removeprefix(PREFIX), known, PREFIX)
        found.warnings.append(f"the variable {name} means nothing{near}")
    found.warnings.sort()
    above: dict[str, Given] = {}
    for option in OPTIONS.values():
        text = set_variables.get(option.variable)
        if text is not None:
            value: Any = text.split() if option.kind.repeated else text
            above[option.name] = _parsed(option, value, option.variable)
        if flags.get(option.name) not in (None, ()):
            above[option.name] = _parsed(option, flags[option.name], option.flag)
    found.file = _file(file, environment, development="dev" in above and bool(above["dev"].value))
    if found.file is not None:
        found.given.update(_of_file(found.file))
    found.given.update(above)
    return found


def _file(chosen: Path | None, environment: Mapping[str, str], *, development: bool) -> Path | None:
    """An empty KEYQUORUM_CONFIG is for no file at all."""
    if chosen is not None:
        return chosen
    if FILE_VARIABLE in environment:
        return Path(environment[FILE_VARIABLE]) if environment[FILE_VARIABLE] else None
    return DEFAULT_FILE if not development and DEFAULT_FILE.exists() else None


def _of_file(path: Path) -> Iterable[tuple[str, Given]]:
    try:
        text = path.read_text(encoding="utf-8")
        mode = stat.S_IMODE(path.stat().st_mode)
        table = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # of TOML, of UTF-8
        raise ConfigError(f"{path} is not TOML: {error}") from error
    if mode & 0o022:
        raise ConfigError(f"{path} can be written by others (mode {mode:04o}): chmod go-w {path}")
    for name, value in table.items():
        origin = f"{path}{_line(text, name)}: {name}"
        option = OPTIONS.get(name)
        if option is None:
            raise ConfigError(f"{origin} is no option{_nearest(name, OPTIONS)}")
        if type(value) not in option.kind.toml:
            raise ConfigError(
                f"{origin} must be {option.kind.expects}, not {_TYPES.get(type(value), 'a date or time')}"
            )
        if option.kind.secret and option.kind.show(value) != value and mode & 0o007:
            raise ConfigError(f"{origin} is secret, and others can read the file (mode {mode:04o}): chmod o= {path}")
        given = _parsed(option, value, origin)
        if isinstance(given.value, Path):
            given = given._replace(value=path.absolute().parent / given.value)
        yield name, given


_TYPES: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
}


def _parsed(option: Option, value: Any, origin: str) -> Given:
    try:
        return Given(option.kind.parse(value), origin)
    except Explained as error:
        raise ConfigError(f"{origin}: {error}") from error
    except (ValueError, OverflowError):
        said = "what it is" if option.kind.secret else repr(value)
        hint = ""
        if isinstance(value, str) and value.startswith("tcp://") and origin.startswith(PREFIX):
            hint = ": Kubernetes sets it for a service named keyquorum; say enableServiceLinks: false"
        raise ConfigError(f"{origin} must be {option.kind.expects}, not {said}{hint}") from None


def _line(text: str, name: str) -> str:
    """tomllib does not tell lines. Options are keys and tables of the document itself, which begin theirs."""
    found = re.search(rf"""^[ \t]*\[?[ \t]*(["']?){re.escape(name)}\1[ \t]*[\].=]""", text, re.MULTILINE)
    return "" if found is None else f", line {text.count(chr(10), 0, found.start()) + 1}"


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(name, known, 1, 0.7)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _user_data() -> Path:
    return platformdirs.user_data_path("keyquorum")


def described(configuration: Configuration) -> list[tuple[str, str, str]]:
    """Each option, its value as people read it, and who gives it. Raises ConfigError."""
    settings = configuration.settings()
    lines = []
    for option in OPTIONS.values():
        given = configuration.given.get(option.name)
        value = getattr(settings, option.attribute) if option.attribute else None if given is None else given.value
        origin = "default" if given is None else given.origin
        shown = "" if value in (None, (), frozenset()) else option.kind.show(value)
        lines.append((option.name, shown, origin))
    return lines
