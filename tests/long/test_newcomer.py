# SPDX-License-Identifier: Apache-2.0
"""A newcomer's path: a clean checkout, the README, docs/start.md to the first Encrypt and beyond, and the site, with
the commands as they are written there and nothing prepared. Under five minutes by the clock, as issue 6 asks."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import console
import pytest
from servers import environment
from stores import free_port

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
FIVE_MINUTES = 300.0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a clone of the working tree would have."""
    directory = tmp_path / "keyquorum"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)
    return directory


def test_from_the_readme_to_the_first_encrypt(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    port = free_port()
    inherited = {name: value for name, value in environment().items() if name != "VIRTUAL_ENV"}
    variables = {
        **inherited,
        "HOME": str(home),
        "KEYQUORUM_PORT": port,
        "PYTHON": sys.executable,
        "SHELL": shutil.which("bash") or "bash",
    }
    page = (checkout / "docs" / "start.md").read_text(encoding="utf-8").replace("8085", port)
    began = time.monotonic()

    first, *rest = console.commands(page)
    assert first.text == "make serve"
    log = tmp_path / "serve.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            ["make", "serve"], cwd=checkout, env=variables, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        shown = first.shown.splitlines()[0]
        while shown not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() - began < FIVE_MINUTES, log.read_text()
            time.sleep(0.1)
        serving = time.monotonic() - began

        remaining = "```console\n" + "".join(f"$ {each.text}\n{each.shown}" for each in rest) + "```\n"
        ran = console.run(remaining, checkout, variables, seconds=FIVE_MINUTES)
        assert [problem for one in ran if (problem := one.problem) and one.command.text != "make shell"] == []
        assert len(ran) == len(rest)
        assert "aws kms encrypt" in page
        took = time.monotonic() - began
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)

    made = subprocess.run(["make", "docs"], cwd=checkout, env=variables, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    assert (checkout / "build" / "site" / "start" / "index.html").exists()
    everything = time.monotonic() - began
    with capsys.disabled():
        print(f"\nserving after {serving:.0f} s, start.md done after {took:.0f} s, the site after {everything:.0f} s")
    assert everything < FIVE_MINUTES


def test_the_readme_leads_here_and_its_commands_are_those_that_are_run() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    assert "](docs/start.md)" in readme
    assert "make docs" in readme
    run = {command.text for command in console.commands(start)}
    assert {command.text for command in console.commands(readme)} - run == set()


def test_the_readmes_example_of_a_test(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "test_shown.py").write_text(shown)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_shown.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
