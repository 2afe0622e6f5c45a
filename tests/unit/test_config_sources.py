# SPDX-License-Identifier: Apache-2.0
"""One table of options: what flags, environment and file say, who wins, and what is refused with which words."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keyquorum.cli import main
from keyquorum.cli.common import GroupedCommand
from keyquorum.config import ConfigError, Settings, sources
from keyquorum.config.kinds import without_password
from keyquorum.config.options import OPTIONS
from keyquorum.config.sources import read

NONE = {"KEYQUORUM_CONFIG": ""}


def file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "keyquorum.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def refusal(directory: Path, text: str, mode: int = 0o600) -> str:
    with pytest.raises(ConfigError) as caught:
        read({}, {}, file(directory, text, mode)).settings()
    return str(caught.value)


def keyquorum(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env={**NONE, **environment})


#: For each option a text, as a flag or a variable has it, and a TOML value that means the same.
EXAMPLES: dict[str, tuple[str, str]] = {
    "data": ("/srv/keyquorum", '"/srv/keyquorum"'),
    "database": ("postgresql://kms@db/kms", '"postgresql://kms@db/kms"'),
    "port": ("9000", "9000"),
    "lock-timeout": ("2.5", "2.5"),
    "account": ("444455556666", '"444455556666"'),
    "regions": ("us-east-1,eu-west-1", '["eu-west-1", "us-east-1"]'),
    "arn-format": ("verenc", '"verenc"'),
    "quota": ("keys_per_region=7", "{keys_per_region = 7}"),
    "insecure-http": ("true", "true"),
    "trusted-proxy": ("10.0.0.0/8", '["10.0.0.0/8"]'),
    "audit-rotate-size": ("2", "2"),
    "audit-sink": ("stdout", '["stdout"]'),
    "workers": ("3", "3"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_three_sources_mean_the_same(name: str, tmp_path: Path) -> None:
    option, (text, toml) = OPTIONS[name], EXAMPLES[name]
    given: Any = (text,) if option.kind.repeated else text
    ways = (
        read({name: given}, NONE),
        read({}, {**NONE, option.variable: text}),
        read({}, {}, file(tmp_path, f"{name} = {toml}")),
    )
    values = [getattr(way.settings(), option.attribute) for way in ways]
    assert values[0] == values[1] == values[2] != getattr(Settings(data=None), option.attribute)
    assert [way.given[name].origin for way in ways[:2]] == [f"--{name}", option.variable]
    assert ways[2].given[name].origin == f"{tmp_path / 'keyquorum.toml'}, line 1: {name}"


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, 'port = 1\nregion = "eu-west-1"\naccount = "444455556666"\naudit-sync = true\n')
    environment = {"KEYQUORUM_PORT": "2", "KEYQUORUM_REGION": "eu-north-1"}
    settings = read({"port": "3"}, environment, path).settings()
    assert (settings.port, settings.region, settings.account) == (3, "eu-north-1", "444455556666")
    assert settings.audit_sync
    assert not read({"audit-sync": False}, environment, path).settings().audit_sync
    assert not read({}, {**environment, "KEYQUORUM_AUDIT_SYNC": "0"}, path).settings().audit_sync


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert read({}, {"KEYQUORUM_PORT": ""}, file(tmp_path, "port = 7")).settings().port == 7


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default, named = tmp_path / "default.toml", file(tmp_path, "port = 2")
    monkeypatch.setattr(sources, "DEFAULT_FILE", default)
    assert read({}, {}).settings().port == 8085
    default.write_text("port = 1")
    default.chmod(0o600)
    assert read({}, {}).settings().port == 1
    assert read({}, {"KEYQUORUM_CONFIG": str(named)}).settings().port == 2
    assert read({}, {"KEYQUORUM_CONFIG": str(default)}, named).settings().port == 2
    assert read({}, NONE).settings().port == 8085
    # What a production server of this machine is told is not for a development server that somebody starts on it.
    assert read({"dev": True}, {}).settings().port == 8085
    assert read({"dev": True}, {}, named).settings().port == 2


def test_paths_in_a_file_start_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    settings = read({}, {}, file(tmp_path, 'data = "data"\ntls-cert = "/etc/cert"\ntls-key = "../key"')).settings()
    assert (settings.data, settings.tls_cert) == (tmp_path / "data", Path("/etc/cert"))
    assert settings.tls_key == tmp_path / "../key"
    assert read({"data": "data"}, NONE).settings().data == Path("/data")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", ", line 1: prot is no option; did you mean port?"),
        ("\n[tls]\ncert = 1", ", line 2: tls is no option"),
        ("lock_timeout = 1", "lock_timeout is no option; did you mean lock-timeout?"),
        ("# port\nport = '1'", ", line 2: port must be a whole number, not a text"),
        ("port = true", "port must be a whole number, not true or false"),
        ("port = 1.0", "port must be a whole number, not a number"),
        ("audit-sync = 1", "audit-sync must be true or false, not a whole number"),
        ("audit-sink = 'stdout'", "audit-sink must be a list of texts, not a text"),
        ("audit-sink = [1]", "audit-sink must be a list of texts, not [1]"),
        ("lock-timeout = nan", "lock-timeout must be a number of seconds, not nan"),
        ("host = 2026-01-01", "host must be a text, not a date or time"),
        ("arn-format = 'gcp'", "arn-format must be one of aws, verenc, not 'gcp'"),
        ("trusted-proxy = ['lan']", "trusted-proxy: 'lan' does not appear to be an IPv4 or IPv6 network"),
        ("[quota]\nkeys = 1", "line 1: quota: 'keys=1' is not NAME=NUMBER"),
        ("account = '1234'", ", line 1: account must be 12 digits, not '1234'"),
        ("port = 1\nport = 2", "is not TOML: "),
        ("port =", "is not TOML: "),
        ("tls-key = 'key'", ", line 1: tls-key needs --tls-cert beside it"),
        ("host = '0.0.0.0'", ", line 1: host 0.0.0.0 can be reached by others, so it needs --tls-cert and --tls-key"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    found = refusal(tmp_path, text)
    assert said in found
    assert found.startswith(str(tmp_path / "keyquorum.toml"))


def test_a_file_that_is_absent_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.toml cannot be read: No such file"):
        read({}, {"KEYQUORUM_CONFIG": str(tmp_path / "absent.toml")})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        read({}, {}, tmp_path / "binary.toml")


def test_whoever_can_write_the_file_could_decide_what_is_loaded(tmp_path: Path) -> None:
    for mode in (0o602, 0o620, 0o666):
        assert "can be written by others" in refusal(tmp_path, "port = 1", mode)
    assert read({}, {}, file(tmp_path, "port = 1", 0o644)).settings().port == 1


def test_a_password_in_a_file_that_others_can_read(tmp_path: Path) -> None:
    database = "database = 'postgresql://kms:hunter2@db/kms'"
    found = refusal(tmp_path, database, 0o644)
    assert "database is secret, and others can read the file" in found
    assert "hunter2" not in found
    assert read({}, {}, file(tmp_path, database, 0o640)).settings().database
    assert read({}, {}, file(tmp_path, "database = 'postgresql://kms@db/kms'", 0o644)).settings().database


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_a_secret_is_in_no_error(way: str, tmp_path: Path) -> None:
    url = "mysql://kms:hunter2@db:port/kms?password=hunter3"
    flags = {"database": url} if way == "flag" else {}
    environment = {"KEYQUORUM_DATABASE": url} if way == "variable" else {}
    path = file(tmp_path, f"database = '{url}'" if way == "file" else "")
    with pytest.raises(ConfigError) as caught:
        read(flags, environment, path).settings()
    assert "hunter" not in str(caught.value) + repr(caught.value)


def test_passwords_of_urls_are_hidden() -> None:
    assert without_password("postgresql://kms:a%40b@db:5432/kms?sslmode=require&sslpassword=x") == (
        "postgresql://kms:***@db:5432/kms?sslmode=require&sslpassword=***"
    )
    assert without_password("postgresql://kms@db/kms") == "postgresql://kms@db/kms"
    assert without_password("postgresql://[::1/kms:x@") == "***"


def test_a_variable_that_means_nothing_is_warned_of() -> None:
    given = read({}, {**NONE, "KEYQUORUM_PROT": "1", "KEYQUORUM_XYZ": "10.0.0.1"})
    assert given.warnings == [
        "the variable KEYQUORUM_PROT means nothing; did you mean KEYQUORUM_PORT?",
        "the variable KEYQUORUM_XYZ means nothing",
    ]


def test_what_kubernetes_sets_by_itself_is_explained() -> None:
    with pytest.raises(ConfigError, match="enableServiceLinks: false"):
        read({}, {**NONE, "KEYQUORUM_PORT": "tcp://10.0.0.1:8085"})


def test_a_command_that_opens_data_does_not_care_how_it_is_served() -> None:
    environment = {**NONE, "KEYQUORUM_HOST": "0.0.0.0", "KEYQUORUM_DEV": "1"}
    settings = read({"data": "/data"}, environment).settings(serving=False)
    assert (settings.data, settings.development) == (Path("/data"), False)


def test_every_option_has_a_field_a_flag_and_help() -> None:
    serve = main.commands["serve"]
    assert isinstance(serve, GroupedCommand)
    flags = {flag for param in serve.params for flag in param.opts}
    for option in OPTIONS.values():
        assert option.flag in flags
        assert option.attribute == "" or hasattr(Settings(data=None), option.attribute)
    text = keyquorum("serve", "--help").output
    assert all(f"{heading}:" in text for heading in ("Data", "Seal", "Network", "Audit"))
    assert text.index("--dev-host") > text.index("--tls-cert") > text.index("--data")


# -- keyquorum config


def test_show_tells_values_and_where_they_come_from(tmp_path: Path) -> None:
    path = file(tmp_path, 'region = "eu-west-1"\ndatabase = "postgresql://kms:hunter2@db/kms"\n')
    shown = keyquorum("config", "show", "--config", str(path), "--port", "9", KEYQUORUM_WORKERS="2")
    assert shown.exit_code == 0
    lines = {line.split(" = ")[0]: line.split(" = ", 1)[1] for line in shown.stdout.splitlines()}
    assert lines["port"].split() == ["9", "#", "--port"]
    assert lines["workers"].split() == ["2", "#", "KEYQUORUM_WORKERS"]
    assert lines["account"].split() == ["111122223333", "#", "default"]
    assert lines["region"].endswith(f"# {path}, line 1: region")
    assert "postgresql://kms:***@db/kms" in lines["database"]
    assert "hunter2" not in shown.output
    as_json = json.loads(keyquorum("config", "show", "--json", "--config", str(path)).stdout)
    assert as_json.keys() == OPTIONS.keys()
    assert as_json["region"] == {"value": "eu-west-1", "from": f"{path}, line 1: region"}
    assert "hunter2" not in json.dumps(as_json)


def test_check_says_what_serve_would(tmp_path: Path) -> None:
    path = file(tmp_path, "port = 9\n")
    right = keyquorum("config", "check", str(path))
    assert (right.exit_code, right.stdout) == (0, f"{path}: nothing is wrong.\n")
    warned = keyquorum("config", "check", str(path), KEYQUORUM_PROT="1")
    assert warned.exit_code == 1
    assert "did you mean KEYQUORUM_PORT?" in warned.stdout
    for text, said in (
        ("prot = 9", "did you mean port?"),
        ("tls-cert = 'c'\ntls-key = 'k'", "--tls-cert: "),
        ("workers = 0", "workers must be at least 1"),
        ("dev = true\nworkers = 2", "refuses --workers"),
    ):
        wrong = keyquorum("config", "check", str(file(tmp_path, text)))
        assert (wrong.exit_code, wrong.stdout) == (2, "")
        assert said in wrong.stderr


def test_commands_that_open_data_go_by_the_same_file(tmp_path: Path) -> None:
    path = file(tmp_path, "data = 'elsewhere'")
    for command in (("env",), ("iam", "--offline", "list-users"), ("doctor",), ("audit", "key")):
        said = keyquorum(*command, KEYQUORUM_CONFIG=str(path))
        assert str(tmp_path / "elsewhere") in said.output, command
    group = keyquorum("iam", "--config", str(path), "--offline", "list-users")
    assert str(tmp_path / "elsewhere") in group.output
