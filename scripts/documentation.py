# SPDX-License-Identifier: Apache-2.0
"""Puts the documentation site together in build/pages, and builds it into build/site.

Pages are those of docs/, those of the repository's root that readers of the site want, and one for each operation
(scripts/operation_pages.py). Links between them are rewritten to where they are in the site. A link to what is no page
of it, a page that the navigation does not lead to, and every warning of the generator end the build with 1.
"""

import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import operation_pages

ROOT: Final = Path(__file__).resolve().parent.parent

#: Pages that are not in docs/, and where they are in the site. Readers of the site have its own first page.
ELSEWHERE: Final = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "README.md": "index.md",
    "docs/adr": "adr/index.md",
    "docs/operate/README.md": "operate/index.md",
}

_FENCE: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
_TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)


class BrokenPages(Exception):
    """What is wrong with the pages, a line each."""


def sources() -> dict[str, str]:
    """The pages that people write: path in the repository -> path in the site."""
    own = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
    places = {path: path.removeprefix("docs/") for path in own} | ELSEWHERE
    return {path: place for path, place in places.items() if path.endswith(".md") and path != "README.md"}


def pictures() -> dict[str, str]:
    """The pictures of the pages: path in the repository -> path in the site."""
    kinds = ".png", ".svg"
    found = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*")) if path.suffix in kinds]
    return {path: path.removeprefix("docs/") for path in found}


def rewritten(path: str, text: str, places: Mapping[str, str], problems: list[str]) -> str:
    """The page with its links as they are in the site."""
    here = posixpath.dirname(places[path])

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1]))
        place = {**places, **ELSEWHERE, **pictures()}.get(target)
        if place is None:
            problems.append(f"{path}: {found[1]} is no page of the site")
            return found[0]
        return posixpath.relpath(place, here)

    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


def pages() -> dict[str, str]:
    """All pages of the site: path in it -> Markdown. Raises BrokenPages."""
    generated = {f"reference/{name}": text for name, text in operation_pages.pages().items()}
    read = sources()
    places = {**read, **{f"docs/{place}": place for place in generated}}
    problems: list[str] = []
    written = {
        place: rewritten(path, (ROOT / path).read_text(encoding="utf-8"), places, problems)
        for path, place in read.items()
    }
    if problems:
        raise BrokenPages("\n".join(problems))
    decisions = {place: title(text) for place, text in written.items() if place.startswith("adr/")}
    lines = [f"- [{name}]({place.removeprefix('adr/')})" for place, name in decisions.items()]
    return {**written, **generated, "adr/index.md": "\n".join(["# Decisions", "", *lines, ""])}


def title(text: str) -> str:
    found = _TITLE.search(text)
    return found[1] if found else ""


def navigation(entries: list[Any], written: Mapping[str, str]) -> list[Any]:
    """The entries of zensical.toml, where a directory stands for all pages in it."""
    made: list[Any] = []
    for entry in entries:
        ((name, value),) = entry.items()
        if isinstance(value, list):
            made.append({name: navigation(value, written)})
        elif value.endswith("/"):
            # The index is first: it is the page of the section itself.
            inside = sorted(
                (place for place in written if place.startswith(value)), key=lambda p: (p != f"{value}index.md", p)
            )
            made.append({name: [{title(written[place]) or place: place} for place in inside]})
        else:
            made.append({name: value})
    return made


def led_to(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        (value,) = entry.values()
        if isinstance(value, list):
            yield from led_to(value)
        else:
            yield value


def build(written: Mapping[str, str], directory: Path) -> None:
    """Builds ``directory / "site"`` of the pages. Raises BrokenPages."""
    with (ROOT / "zensical.toml").open("rb") as file:
        configuration = tomllib.load(file)
    nav = navigation(configuration["project"]["nav"], written)
    astray = set(written) ^ set(led_to(nav))
    if astray:
        raise BrokenPages(f"not both written and in the navigation of zensical.toml: {', '.join(sorted(astray))}")
    for made in ("pages", "site", ".cache"):
        shutil.rmtree(directory / made, ignore_errors=True)
    for place, text in written.items():
        target = directory / "pages" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for path, place in pictures().items():
        (directory / "pages" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, directory / "pages" / place)
    settings = {"docs_dir": "pages", "site_dir": "site", **configuration["project"], "nav": nav}
    (directory / "zensical.toml").write_text(f"project = {toml(settings)}\n", encoding="utf-8")
    zensical = Path(sys.executable).parent / "zensical"
    command = [str(zensical), "build", "--strict", "--config-file", str(directory / "zensical.toml")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or "Warning" in done.stdout + done.stderr:
        raise BrokenPages(done.stdout + done.stderr)


def toml(value: Any) -> str:
    """A value of TOML (1.0.0, "Inline Table"), which the standard library reads and does not write."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    try:
        build(pages(), ROOT / "build")
    except BrokenPages as broken:
        sys.exit(str(broken))
