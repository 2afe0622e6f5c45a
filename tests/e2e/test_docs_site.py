# SPDX-License-Identifier: Apache-2.0
"""The documentation site: it is built without a warning, leads nowhere that is not there, loads nothing from elsewhere,
and no block of code in it escapes the tests."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import console
import pytest
from servers import Program, environment

import documentation
import operation_pages
from keyquorum.ops import registry
from keyquorum.reference import PAGES

ROOT = documentation.ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make docs` builds it."""
    directory = tmp_path_factory.mktemp("site")
    documentation.build(documentation.pages(), directory)
    return directory / "site"


class Links(HTMLParser):
    """What a page has (``ids``), leads to (``links``) and loads (``loads``)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        had = {name: value or "" for name, value in attrs}
        self.ids |= {had[name] for name in ("id", "name") if name in had}
        if tag == "a" and "href" in had:
            self.links.add(had["href"])
        elif tag != "a":
            self.loads |= {had[name] for name in ("src", "href") if name in had}


@pytest.mark.slow
@pytest.mark.xdist_group("documentation site")
def test_every_link_leads_to_a_place_of_the_site(site: Path) -> None:
    found = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(found) > len(PAGES)
    broken = []
    for path, page in found.items():
        for link in page.links:
            place = urlsplit(link)
            if place.scheme or place.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(place.path)).resolve() if place.path else path
            target = target / "index.html" if target.is_dir() else target
            if target not in found or (place.fragment and place.fragment not in found[target].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


@pytest.mark.slow
@pytest.mark.xdist_group("documentation site")
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = {load for path in site.rglob("*.html") for load in Links(path.read_text(encoding="utf-8")).loads}
    assert loads
    assert [load for load in loads if urlsplit(load).netloc] == []
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert [url for text in styles for url in re.findall(r"url\(\s*[\"']?(https?:[^)]*)\)|@import", text)] == []


@pytest.mark.slow
@pytest.mark.xdist_group("documentation site")
@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("[there](start.md#nowhere)", "anchor"),
        ("[there](nothing.md)", "page does not exist"),
    ],
)
def test_what_leads_nowhere_is_not_built(broken: str, problem: str, tmp_path: Path) -> None:
    written = documentation.pages()
    written["index.md"] += f"\n{broken}\n"
    with pytest.raises(documentation.BrokenPages, match=problem):
        documentation.build(written, tmp_path)


def test_a_page_that_nothing_leads_to_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(documentation.BrokenPages, match=r"astray\.md"):
        documentation.build({**documentation.pages(), "astray.md": "# Astray\n"}, tmp_path)


def test_a_link_out_of_the_site_is_a_problem() -> None:
    problems: list[str] = []
    text = "[the code](../src/keyquorum/api.py) and [this](start.md#a-key), ```[no](link.md)```\n"
    places = {"docs/index.md": "index.md", "docs/start.md": "start.md"}
    assert "(start.md#a-key)" in documentation.rewritten("docs/index.md", text, places, problems)
    assert problems[0] == "docs/index.md: ../src/keyquorum/api.py is no page of the site"


# -- the reference


@pytest.mark.slow
def test_every_program_of_the_reference_runs(tmp_path: Path) -> None:
    programs = [
        text for page in operation_pages.pages().values() for text in re.findall(r"```python\n(.*?)```", page, re.S)
    ]
    assert len(programs) == len(registry.KMS)
    whole = "\n".join(f"exec(compile({text!r}, {text.splitlines()[-2]!r}, 'exec'), {{}})" for text in programs)
    server = Program(tmp_path, "--dev")
    variables = {"AWS_ENDPOINT_URL_KMS": server.url, "AWS_DEFAULT_REGION": "us-east-1"}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    try:
        done = subprocess.run(
            [sys.executable, "-"],
            input=whole,
            env={**environment(), **variables, **keys},
            capture_output=True,
            text=True,
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr


def test_the_table_of_compatibility_is_of_this_server() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\(reference/\1\.md\) \| (yes|) ?\|", page, re.MULTILINE)
    assert {name: bool(here) for name, here in rows} == {name: page.available for name, page in PAGES.items()}
    counted = re.search(r"^\| operations, of the (\d+) .*? \| (\d+) \|", page, re.MULTILINE)
    assert counted is not None
    assert counted.groups() == (str(len(PAGES)), str(len(registry.KMS)))


# -- the blocks

#: What a page shows -> the test that holds it, page and language. Files that a page shows under their names are held by
#: the commands that use them.
HELD = {
    ("README.md", "console"): "tests/long/test_newcomer.py",
    ("README.md", "python"): "tests/long/test_newcomer.py",
    ("docs/start.md", "console"): "tests/long/test_newcomer.py",
    ("docs/audit.md", "console"): "tests/e2e/test_docs_audit.py",
    ("docs/audit.md", "sh"): "tests/unit/test_audit_by_hand.py",
    ("docs/cookbook.md", "json"): "tests/support/cookbook.py",
    ("docs/development-mode.md", "console"): "tests/e2e/test_docs_tutorials.py",
    ("docs/development-mode.md", "toml"): "tests/unit/seed/test_seed.py",
    ("docs/iam.md", "console"): "tests/e2e/test_docs_iam.py",
    ("docs/operate/backup.md", "console"): "tests/e2e/test_backup_e2e.py",
    ("docs/operate/cluster.md", "console"): "tests/e2e/test_docs_cluster.py",
    ("docs/operate/configuration.md", "console"): "tests/e2e/test_docs_operate.py",
    ("docs/operate/console.md", "console"): "tests/e2e/test_docs_operate.py",
    ("docs/operate/database.md", "console"): "tests/e2e/test_docs_database.py",
    ("docs/operate/install.md", "console"): "tests/e2e/test_docs_operate.py",
    ("docs/operate/keyring.md", "console"): "tests/e2e/test_backup_e2e.py",
    ("docs/operate/limits.md", "console"): "tests/e2e/test_docs_monitoring.py",
    ("docs/operate/monitoring.md", "console"): "tests/e2e/test_docs_monitoring.py",
    ("docs/operate/seals.md", "console"): "tests/e2e/test_docs_seals.py",
    ("docs/operate/seals.md", "toml"): "tests/e2e/test_docs_seals.py",
    ("docs/operate/tls.md", "console"): "tests/e2e/test_docs_operate.py",
    ("docs/sessions.md", "console"): "tests/e2e/test_docs_tutorials.py",
    ("docs/sessions.md", "yaml"): "tests/e2e/test_docs_tutorials.py",
    ("docs/tutorials/blockchain.md", "console"): "tests/e2e/test_docs_tutorials.py",
    ("docs/tutorials/envelope-encryption.md", "console"): "tests/e2e/test_docs_tutorials.py",
    ("docs/tutorials/moving.md", "console"): "tests/e2e/test_docs_tutorials.py",
    ("docs/tutorials/pytest.md", "console"): "tests/e2e/test_docs_tutorials.py",
}


def blocks() -> Iterator[tuple[str, str, str]]:
    """Page, language and text of each block of code; "text" is for what no test can run."""
    for path in ["README.md", *documentation.sources()]:
        page = (ROOT / path).read_text(encoding="utf-8")
        commands = "\n".join(command.text for command in console.commands(page))
        files = dict(console.files(page))
        used = {text for name, text in files.items() if name in commands or name in "".join(files.values())}
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
            if language != "text" and text not in used:
                yield path, language, text


def test_no_block_escapes() -> None:
    found = {(path, language) for path, language, _ in blocks()}
    assert found - set(HELD) == set()
    assert set(HELD) - found == set(), "no longer there"
    for (page, _), test in HELD.items():
        assert Path(page).stem.lower() in (ROOT / test).read_text(encoding="utf-8").lower(), (
            f"{test} is not about {page}"
        )
