# SPDX-License-Identifier: Apache-2.0
"""Each house rule catches what it is for, and leaves alone what it is not."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SPDX = "# SPDX-License-Identifier: Apache-2.0\n"


@pytest.fixture
def rules(tmp_path: Path) -> ModuleType:
    """The rules, with an empty package to look at."""
    path = Path(__file__).parents[2] / "scripts" / "house_rules.py"
    spec = importlib.util.spec_from_file_location("house_rules_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.PACKAGE = tmp_path  # type: ignore[attr-defined]  # where it looks
    return module


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_names_its_licence(rules: ModuleType, tmp_path: Path) -> None:
    files = [
        write(tmp_path / "good.py", SPDX),
        write(tmp_path / "run.sh", "#!/bin/sh\n" + SPDX),
        write(tmp_path / "notes.md", "no licence"),
        write(tmp_path / "Makefile", SPDX),
    ]
    assert list(rules.licence(files)) == []
    bad = [
        write(tmp_path / "a.py", ""),
        write(tmp_path / "b.toml", "x = 1\n\n" + SPDX),
        write(tmp_path / "c.yml", "# Apache-2.0"),
    ]
    assert [message.split(":")[0] for message in rules.licence(bad)] == [str(path) for path in bad]


def test_a_file_is_not_long(rules: ModuleType, tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.py", "pass\n" * n) for n in (500, 501)]
    files += [write(tmp_path / name, "pass\n" * 9_000) for name in rules.GENERATED]
    files += [write(tmp_path / "long.json", "\n" * 9_000)]
    assert list(rules.length(files)) == [f"{files[1]}: 501 lines, more than 500"]


@pytest.mark.parametrize(
    "line", ["AuthorizedKey(a, b)", "authorize.AuthorizedKey(a, b)", "x = [AuthorizedKey(a) for a in b]"]
)
def test_a_call_is_for_the_modules_that_may(rules: ModuleType, tmp_path: Path, line: str) -> None:
    for name in ("authz/authorize.py", "ops/keys.py", "keyring.py"):
        write(tmp_path / name, line)
    write(tmp_path / "model.py", "def f(key: AuthorizedKey) -> AuthorizedKey:\n    return key.AuthorizedKey\n")
    found = list(rules.calls("AuthorizedKey", {"authz/authorize.py"}, "why"))
    assert sorted(message.split(":")[0] for message in found) == [
        str(tmp_path / "keyring.py"),
        str(tmp_path / "ops" / "keys.py"),
    ]
    assert all(":1: AuthorizedKey() is for authz/authorize.py: why" in message for message in found)


def test_a_commit_is_for_nobody(rules: ModuleType, tmp_path: Path) -> None:
    write(tmp_path / "ops" / "keys.py", "x = 1\ntxn.connection.commit()\n")
    (found,) = rules.calls("commit", set(), "why")
    assert found.endswith("keys.py:2: commit() is for nobody: why")


@pytest.mark.parametrize(
    "line",
    [
        "if key.state == 'Enabled': pass",
        "ok = 'Disabled' != record.key.state",
        "ok = key.state in ('Enabled',)",
        "x = [k for k in keys if k.state is state]",
        "while not a < key.state: pass",
    ],
)
def test_key_states_are_compared_in_one_place(rules: ModuleType, tmp_path: Path, line: str) -> None:
    write(tmp_path / "lifecycle.py", line)
    write(tmp_path / "pipeline.py", "lifecycle.check(row, key.state, arn)\nok = state == 'Enabled'\n")
    assert list(rules.states()) == []
    write(tmp_path / "ops" / "keys.py", line)
    (found,) = rules.states()
    assert found.endswith("keys.py:1: a key state is compared outside lifecycle.py")


def test_the_rules_are_kept_here(rules: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    rules.PACKAGE = rules.ROOT / "src" / "keyquorum"  # type: ignore[attr-defined]  # where it looks by itself
    assert rules.main() == 0, capsys.readouterr().out


def test_the_program_fails_where_one_is_broken(
    rules: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "ops.py", "authorize(a, b, c)\n")
    assert rules.main() == 1
    assert "authorize() is for access.py" in capsys.readouterr().out
