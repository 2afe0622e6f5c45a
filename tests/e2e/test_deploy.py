# SPDX-License-Identifier: Apache-2.0
"""What deploy/ ships: as far as it can be tried without systemd running, without a registry of images and without a
cluster. The commands that the files hold are run, on this machine and on directories of the test."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import environment
from stores import free_port

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "keyquorum.service"
PROGRAM = Path(sys.executable).with_name("keyquorum")
#: Of ten, in tenths: systemd calls up to 2.0 "OK".
EXPOSURE = 15


# -- systemd


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("systemd-analyze is not installed")
    return str(found)


def test_the_unit_leaves_the_service_little_to_attack(analyze: str) -> None:
    command = [analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_is_one(analyze: str, tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/opt/keyquorum/bin/keyquorum", str(PROGRAM))
    here = tmp_path / UNIT.name
    here.write_text(re.sub(r"^(User|Group)=.*$", r"\1=root", text, flags=re.MULTILINE))
    done = subprocess.run([analyze, "verify", "--man=no", str(here)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# -- the image


def instructions() -> list[tuple[str, str]]:
    """Those of the Dockerfile, in order, each with its arguments on one line."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "docker" / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def last(name: str) -> str:
    return [rest.strip() for of, rest in instructions() if of == name][-1]


def image_environment(tmp_path: Path) -> dict[str, str]:
    """What the image sets, with the test's directory in the place of the root directory."""
    pairs = dict(pair.split("=", 1) for pair in shlex.split(last("ENV")))
    del pairs["PATH"]
    return {name: f"{tmp_path}{value}" if value.startswith("/") else value for name, value in pairs.items()}


def test_the_image_is_not_roots_and_installs_what_is_locked() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER"))
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert [("--require-hashes" in rest, "--no-deps" in rest) for rest in installs] == [(True, False), (False, True)]
    assert not any(name == "ADD" for name, _ in instructions())
    root = DEPLOY.parent
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]
    assert all((root / source).exists() for sources in copied for source in sources)


def test_the_images_command_serves_and_is_healthy(tmp_path: Path) -> None:
    variables = image_environment(tmp_path)
    tls = Path(variables["KEYQUORUM_TLS_CERT"]).parent
    make_certificate(tls)
    variables |= {"KEYQUORUM_HOST": "127.0.0.1", "KEYQUORUM_PORT": "0", "KEYQUORUM_METRICS_PORT": free_port()}
    with served(*command_of_the_image(), variables=variables, logs=tmp_path):
        _, _, script = yaml.safe_load(last("HEALTHCHECK").partition("CMD")[2])
        script = script.replace("9085", variables["KEYQUORUM_METRICS_PORT"])
        assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 0


def test_the_image_refuses_to_serve_others_without_a_certificate(tmp_path: Path) -> None:
    variables = image_environment(tmp_path)
    del variables["KEYQUORUM_TLS_CERT"], variables["KEYQUORUM_TLS_KEY"]
    done = subprocess.run(
        [str(PROGRAM), *command_of_the_image()[1:]],
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--insecure-http" in done.stderr


def command_of_the_image() -> list[str]:
    return [*yaml.safe_load(last("ENTRYPOINT")), *yaml.safe_load(last("CMD"))]


# -- the cluster


def manifests() -> list[dict[str, Any]]:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    return [each for name in listed for each in yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())]


def pod() -> dict[str, Any]:
    (nodes,) = (each for each in manifests() if each["kind"] == "StatefulSet")
    found: dict[str, Any] = nodes["spec"]["template"]["spec"]
    return found


def test_the_pods_are_not_roots_and_change_nothing_of_their_image() -> None:
    spec = pod()
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    for container in (*spec["initContainers"], *spec["containers"]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_names_in_the_manifests_lead_somewhere() -> None:
    spec, (serving,) = pod(), pod()["containers"]
    (nodes,) = (each for each in manifests() if each["kind"] == "StatefulSet")
    volumes = {
        volume["name"] for volume in (*spec["volumes"], *[c["metadata"] for c in nodes["spec"]["volumeClaimTemplates"]])
    }
    for container in (*spec["initContainers"], *spec["containers"]):
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    ports = {port["name"]: port["containerPort"] for port in serving["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert serving[probe]["httpGet"]["port"] in ports
    services = [each for each in manifests() if each["kind"] == "Service"]
    assert nodes["spec"]["serviceName"] in {each["metadata"]["name"] for each in services}
    targets = {port.get("targetPort", port["port"]) for each in services for port in each["spec"]["ports"]}
    assert targets <= {*ports, *ports.values()}
    selected = nodes["spec"]["template"]["metadata"]["labels"]
    assert all(each["spec"]["selector"].items() <= selected.items() for each in services)
    written = tomllib.loads((DEPLOY / "kubernetes" / "keyquorum.toml").read_text())
    assert written["metrics-port"] == ports["metrics"]
    mounted = {mount["mountPath"] for mount in serving["volumeMounts"]}
    for key in ("data", "tls-cert", "tls-key", "seal-file"):
        assert any(Path(written[key]).is_relative_to(path) for path in mounted), key


def test_what_the_pods_run_is_taken(tmp_path: Path) -> None:
    """The first container's program, then the check of the configuration that the second one starts with."""
    mounted, own, volume = tmp_path / "mounted", tmp_path / "own", tmp_path / "volume"
    for directory in (mounted, own, volume):
        directory.mkdir()
    make_certificate(tmp_path / "made")
    (mounted / "tls").mkdir()
    for name in ("tls.crt", "tls.key"):
        shutil.copy(tmp_path / "made" / name, mounted / "tls" / name)
        (mounted / "tls" / name).chmod(0o644)
    (mounted / "seal").mkdir()
    (mounted / "seal" / "seal.key").write_bytes(bytes(32))

    def here(text: str) -> str:
        return (
            text.replace("/etc/keyquorum", str(own)).replace("/mounted", str(mounted)).replace("/volume", str(volume))
        )

    (first,) = pod()["initContainers"]
    subprocess.run([sys.executable, *first["command"][1:], here(first["args"][0])], check=True, timeout=30)
    assert {path.stat().st_mode & 0o777 for path in own.rglob("*") if path.is_file()} == {0o600}

    (serving,) = pod()["containers"]
    written = own / "config" / "keyquorum.toml"
    written.parent.mkdir()
    text = here((DEPLOY / "kubernetes" / "keyquorum.toml").read_text())
    written.write_text(text.replace("/var/lib/keyquorum", str(volume / "keyquorum")))
    variables = {each["name"]: each.get("value", "a password") for each in serving["env"]}
    _, _, file = map(here, serving["args"])
    done = subprocess.run(
        [str(PROGRAM), "config", "check", file],
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "would not start" not in done.stdout


# -- what they have in common


def make_certificate(directory: Path) -> None:
    """Files of the names that an orchestrator gives them."""
    made = directory.parent / "authority"
    subprocess.run(
        [str(PROGRAM), "tls", "dev-cert", str(made)], env=environment(), check=True, capture_output=True, timeout=60
    )
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(made / "server.pem", directory / "tls.crt")
    shutil.copy(made / "server.key", directory / "tls.key")
    (directory / "tls.key").chmod(0o600)


@contextmanager
def served(program: str, *arguments: str, variables: dict[str, str], logs: Path) -> Iterator[None]:
    """The program of an image, with its environment, once it listens."""
    assert program == PROGRAM.name
    with (logs / "log").open("w+") as log:
        process = subprocess.Popen(
            [str(PROGRAM), *arguments], env=environment() | variables, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert "is listening on https://" in line, (logs / "log").read_text()
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.close()
            assert process.wait(60) in (0, -signal.SIGTERM)
