# SPDX-License-Identifier: Apache-2.0
"""The tutorials, development mode and sessions: their commands work as shown, with the files that they show."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import console
import pytest
import yaml
from servers import Production, environment
from stores import free_port

DOCS = Path(__file__).parents[2] / "docs"

#: The shell that the pages are read with: nobody's access keys, and no terminal.
SHELL = {"AWS_PAGER": "", "PYTHONDONTWRITEBYTECODE": "1"}


def read(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def need(program: str) -> None:
    if shutil.which(program) is None:
        assert "CI" not in os.environ, f"{program} is not here"
        pytest.skip(f"{program} is not here")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "development-mode",
        "tutorials/blockchain",
        "tutorials/envelope-encryption",
        "tutorials/moving",
        "tutorials/pytest",
    ],
)
def test_the_commands_do_what_the_page_shows(name: str, tmp_path: Path) -> None:
    need("curl")
    need("openssl")
    port = free_port()
    page = read(name).replace("8085", port)
    console.hold(page, tmp_path, {**environment(), **SHELL, "KEYQUORUM_PORT": port})


SEED = """
[[user]]
name = "alice"
access_key_id = "AKIAALICE0000000EXAM"
secret_access_key = "a secret for tests"
policy = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}}'

[[role]]
name = "deploy"
trust = '''{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
    "Principal": {"AWS": "arn:aws:iam::111122223333:user/alice"},
    "Condition": {"StringEquals": {"sts:ExternalId": "customer-17"}}}}'''
"""


@pytest.mark.slow
def test_the_page_on_sessions(start: Callable[..., Production], tmp_path: Path) -> None:
    seed = tmp_path / "seed.toml"
    seed.write_text(SEED)
    server = start("--seed", str(seed))
    directory = tmp_path / "shell"
    directory.mkdir()
    page = read("sessions").replace("8085", str(server.port))
    variables = {**environment(("--data", str(server.data))), **SHELL, "KEYQUORUM_DATA": str(server.data)}
    console.hold(page, directory, variables)


def test_the_pod_of_the_page_asks_for_the_token_that_the_provider_takes() -> None:
    page = read("sessions")
    pod = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["spec"]
    (mounted,) = pod["containers"][0]["volumeMounts"]
    (source,) = pod["volumes"][0]["projected"]["sources"]
    variables = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert (
        f"{mounted['mountPath']}/{source['serviceAccountToken']['path']}" == (variables["AWS_WEB_IDENTITY_TOKEN_FILE"])
    )
    assert f"--client-id-list {source['serviceAccountToken']['audience']}" in page
    assert f"--role-name {variables['AWS_ROLE_ARN'].rpartition('/')[2]} " in page
