# SPDX-License-Identifier: Apache-2.0
"""Runs what a page of documentation shows: its ``console`` blocks in one shell, in a directory with the files that the
page shows under their names, such as ``trust.json``:, and holds the output to what is shown.

A line that begins with ``> `` goes on with the command before it. ``...`` stands for anything, a whole line of it for
any lines. A command that shows nothing may print nothing, and one whose output begins like a refusal must fail; all
others must succeed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

_FENCES: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"`([\w.-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REFUSALS: Final = ("An error occurred", "REFUSED", "keyquorum: ")
_MARK: Final = "--- ended with"


class Command(NamedTuple):
    text: str
    shown: str


class Ran(NamedTuple):
    command: Command
    printed: str
    code: int

    @property
    def problem(self) -> str | None:
        """How it differs from what the page shows."""
        shown, printed = self.command.shown.strip(), self.printed.strip()
        if (self.code != 0) != shown.startswith(_REFUSALS):
            return f"$ {self.command.text}\nended with {self.code}:\n{printed}"
        if re.fullmatch(_pattern(shown), printed, re.DOTALL) is None:
            return f"$ {self.command.text}\nprinted\n{printed}\nand not\n{shown}"
        return None


def _pattern(shown: str) -> str:
    lines = [".*" if line == "..." else re.escape(line).replace(r"\.\.\.", "[^\n]*") for line in shown.splitlines()]
    return "\n".join(lines)


def files(page: str) -> list[tuple[str, str]]:
    """The files that the page shows, name and text."""
    return _FILE.findall(page)


def commands(page: str) -> list[Command]:
    found = []
    for language, text in _FENCES.findall(page):
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                while shown.startswith("> "):
                    line, _, shown = shown.removeprefix("> ").partition("\n")
                    command = f"{command}\n{line}"
                found.append(Command(command, shown))
    return found


def run(page: str, directory: Path, environment: dict[str, str], *, seconds: float = 110) -> list[Ran]:
    for name, text in files(page):
        (directory / name).write_text(text)
    listed = commands(page)
    script = "".join(f"{command.text}\nprintf '\\n%s %s\\n' '{_MARK}' $?\n" for command in listed)
    done = subprocess.run(
        ["bash"],
        input=script,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    parts = re.split(rf"^{_MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)
    # A shell that ended early leaves the rest untold.
    return [Ran(*told) for told in zip(listed, parts[::2], map(int, parts[1::2]), strict=False)]


def hold(page: str, directory: Path, environment: dict[str, str], *, programs: str = "") -> None:
    """Every command of the page does what it shows, in a home directory of its own. ``programs``: another directory to
    look for programs in."""
    path = ":".join(filter(None, (str(Path(sys.executable).parent), programs, os.environ["PATH"])))
    ran = run(page, directory, {**environment, "HOME": str(directory), "PATH": path})
    problems = [problem for one in ran if (problem := one.problem)]
    assert problems == [], "\n\n".join(problems)
    assert len(ran) == len(commands(page)) > 0
