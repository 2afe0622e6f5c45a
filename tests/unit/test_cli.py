# SPDX-License-Identifier: Apache-2.0
"""The command line: what it refuses before anything is opened, and what ``keyquorum env`` prints."""

import json
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from servers import environment

from keyquorum.app import Service
from keyquorum.cli import main
from keyquorum.config import Settings
from keyquorum.layout import DataDirectory, Endpoint

pytestmark = pytest.mark.slow


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


def refusal(*arguments: str, **environment: str) -> str:
    result = run(*arguments, **environment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    return result.stderr


def refusal_to_start(*arguments: str) -> str:
    """Of a program of its own: it has a socket open by then, and takes it along."""
    command = (sys.executable, "-m", "keyquorum", "serve", *arguments)
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dev", "--data", "{tmp}/data"], "it refuses --data"),
        (["--dev", "--workers", "1"], "it refuses --workers"),
        (["--dev", "--host", "0.0.0.0"], "say --dev-listen"),
        (["--dev", "--host", "example.com"], "say --dev-listen"),
        (["--dev-listen", "0.0.0.0", "--data", "{tmp}/data"], "go with --dev"),
        (["--dev-host", "kms", "--data", "{tmp}/data"], "go with --dev"),
        (["--account", "1234", "--data", "{tmp}/data"], "--account must be 12 digits, not '1234'"),
        (["--region", "nowhere", "--data", "{tmp}/data"], "--region must look like"),
        (["--workers", "0", "--data", "{tmp}/data"], "--workers must be at least 1"),
        (["--workers", "-1", "--data", "{tmp}/data"], "--workers must be at least 1"),
        (["--port", "70000", "--data", "{tmp}/data"], "--port must be between"),
        (["--port", "http", "--data", "{tmp}/data"], "--port must be a whole number, not 'http'"),
        (["--arn-format", "gcp", "--data", "{tmp}/data"], "--arn-format must be one of aws, verenc, not 'gcp'"),
        (["--lock-timeout", "0", "--data", "{tmp}/data"], "--lock-timeout must be more"),
        (["--trusted-proxy", "lan", "--data", "{tmp}/data"], "--trusted-proxy: "),
    ],
)
def test_serve_refuses(options: list[str], said: str, tmp_path: Path) -> None:
    assert said in refusal("serve", *(option.format(tmp=tmp_path) for option in options))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "{tmp}/absent.toml", "--data", "{tmp}/data"], "absent.toml cannot be read"),
        (["--dev", "--seed", "{tmp}/wrong.toml"], "[[key]] number 1, id: "),
        (["--data", "{tmp}/wrong.toml/data"], "Not a directory"),
    ],
)
def test_serve_does_not_start(options: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[[key]]\nid = ''\n")
    assert said in refusal_to_start("--port", "0", *(option.format(tmp=tmp_path) for option in options))
    assert not (tmp_path / "data").exists()


def test_variables_are_read(tmp_path: Path) -> None:
    assert "it refuses --data" in refusal("serve", "--dev", KEYQUORUM_DATA=str(tmp_path))
    assert "it refuses --workers" in refusal("serve", KEYQUORUM_DEV="1", KEYQUORUM_WORKERS="2")
    assert "12 digits" in refusal("serve", KEYQUORUM_ACCOUNT="x", KEYQUORUM_DATA=str(tmp_path))


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "Address already in use" in refusal_to_start("--port", str(port), "--data", str(tmp_path / "data"))


def started(data: Path, account: str = "111122223333") -> Service:
    """What a server leaves in its data directory."""
    service = Service(Settings(data=data, account=account))
    endpoint = Endpoint("http://127.0.0.1:8085", account, "eu-west-1")
    DataDirectory(data).endpoint.write_bytes(msgspec.json.encode(endpoint))
    service.close()
    return service


def test_a_seal_key_that_is_another_or_gone(tmp_path: Path) -> None:
    started(tmp_path)
    seal_key = DataDirectory(tmp_path).seal_key
    seal_key.write_bytes(bytes(32))
    assert "does not open the root key" in refusal_to_start("--port", "0", "--data", str(tmp_path))
    assert "does not open the root key" in refusal("env", "--data", str(tmp_path))
    seal_key.unlink()
    assert "seal.key cannot be read" in refusal_to_start("--port", "0", "--data", str(tmp_path))
    assert not seal_key.exists()


def test_a_database_of_a_newer_or_another_program(tmp_path: Path) -> None:
    started(tmp_path)
    path = DataDirectory(tmp_path).database
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.execute("UPDATE schema_compatibility SET oldest = '9999'")
    database.close()
    assert "a newer version wrote it" in refusal_to_start("--port", "0", "--data", str(tmp_path))
    path.write_bytes(b"not SQLite" * 1000)
    assert "the database cannot be had" in refusal_to_start("--port", "0", "--data", str(tmp_path))


def test_env_prints_what_an_sdk_needs(tmp_path: Path) -> None:
    service = started(tmp_path)
    made = service.new_access_key
    assert made is not None
    variables = json.loads(run("env", "--json", "--data", str(tmp_path)).stdout)
    assert variables == {
        "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:8085",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:8085",
        "AWS_ENDPOINT_URL_IAM": "http://127.0.0.1:8085",
        "AWS_ACCESS_KEY_ID": made.access_key_id,
        "AWS_SECRET_ACCESS_KEY": service.keyring.secret_of(made),
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    exports = run("env", KEYQUORUM_DATA=str(tmp_path)).stdout.splitlines()
    assert sorted(exports) == sorted(f"export {name}={value}" for name, value in variables.items())


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_env_where_no_server_was_ever_started(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert f"no server has been started on {tmp_path / name}" in refusal("env", "--data", str(tmp_path / name))
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "absent").exists()


def test_env_where_the_endpoint_is_all_that_is_left(tmp_path: Path) -> None:
    (tmp_path / "endpoint.json").write_text('{"url":"http://x","account":"111122223333","region":"us-east-1"}')
    assert "cannot be opened" in refusal("env", "--data", str(tmp_path))
    (tmp_path / "endpoint.json").write_text("{")
    assert "no server has been started" in refusal("env", "--data", str(tmp_path))


def test_the_data_directory_is_its_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    started(data)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE(DataDirectory(data).seal_key.stat().st_mode) == 0o600


def test_the_version_and_the_help() -> None:
    assert "version" in run("--version").stdout
    assert "serve" in run("-h").stdout
