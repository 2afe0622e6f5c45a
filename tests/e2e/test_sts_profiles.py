# SPDX-License-Identifier: Apache-2.0
"""boto3 and the AWS CLI with the profiles that one writes for AWS: ``role_arn`` with ``source_profile``,
``web_identity_token_file``, and the variables that Kubernetes sets for a workload. Only endpoints are told beside them.

Sources: AWS SDKs and Tools Reference Guide, "Assume role credential provider" and "Service-specific endpoints".
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from issuer import AUDIENCE, SUBJECT, Issuer, issuing
from roles import ALICE, allow, federating, new_role, trusting, user
from servers import ACCOUNT, REGION, Production, environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("aws-cli")]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as started:
        yield started


class Home:
    """Roles on the server, and a home directory with profiles for them."""

    def __init__(self, directory: Path, server: Production, issuer: Issuer) -> None:
        iam = server.client("iam")
        provider = iam.create_open_id_connect_provider(Url=f"https://{issuer.name}", ClientIDList=[AUDIENCE])
        federated = federating(provider["OpenIDConnectProviderArn"], StringEquals={f"{issuer.name}:sub": SUBJECT})
        self.role = new_role(
            iam, trusting(user("Alice"), StringEquals={"sts:ExternalId": "customer-17"}), allow("kms:*")
        )
        self.workload = new_role(iam, federated, allow("kms:*"))
        self.second = new_role(iam, trusting(self.workload), allow("kms:*"))
        self.directory = directory
        self.token_file = directory / "token"
        self.token_file.write_text(issuer.token())
        (directory / "config").write_text(
            f"""
[profile alice]
aws_access_key_id = {ALICE.key_id}
aws_secret_access_key = {ALICE.secret}

[profile deploy]
role_arn = {self.role}
source_profile = alice
external_id = customer-17
role_session_name = deploy
duration_seconds = 900

[profile workload]
role_arn = {self.workload}
web_identity_token_file = {self.token_file}
role_session_name = worker

[profile chained]
role_arn = {self.second}
source_profile = workload
role_session_name = chained
"""
        )
        self.plain = {
            **environment(),
            "HOME": str(directory),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": str(directory / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }
        self.endpoints = {"AWS_ENDPOINT_URL_STS": server.url, "AWS_ENDPOINT_URL_KMS": server.url}

    def aws(self, *arguments: str, told: bool = True, **variables: str) -> Any:
        """The answer of the AWS CLI, which is ``told`` the endpoints by its environment, or not."""
        done = subprocess.run(
            (str(Path(sys.executable).with_name("aws")), *arguments, "--output", "json"),
            env=self.plain | (self.endpoints if told else {}) | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(server: Production, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"), server, issuer)


def session_arn(role: str, name: str) -> str:
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rpartition('/')[2]}/{name}"


PROFILES = [("deploy", "role", "deploy"), ("workload", "workload", "worker"), ("chained", "second", "chained")]


@pytest.mark.parametrize(("profile", "role", "name"), PROFILES)
def test_the_aws_cli_with_a_profile(home: Home, profile: str, role: str, name: str) -> None:
    found = home.aws("sts", "get-caller-identity", "--profile", profile)
    assert found["Arn"] == session_arn(getattr(home, role), name)
    assert home.aws("kms", "list-keys", "--profile", profile)["Keys"] is not None


@pytest.mark.parametrize(("profile", "role", "name"), PROFILES)
def test_boto3_with_a_profile(
    home: Home, kms: Any, monkeypatch: pytest.MonkeyPatch, profile: str, role: str, name: str
) -> None:
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    for variable, value in (home.plain | home.endpoints).items():
        monkeypatch.setenv(variable, value)
    session = boto3.Session(profile_name=profile)
    assert session.client("sts").get_caller_identity()["Arn"] == session_arn(getattr(home, role), name)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    mine = session.client("kms")
    secret = mine.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert mine.decrypt(CiphertextBlob=secret)["Plaintext"] == b"x"


def test_a_workload_has_three_variables_and_no_profile(home: Home) -> None:
    """What the webhook of EKS, or a manifest for any other cluster, gives a pod."""
    found = home.aws(
        "sts",
        "get-caller-identity",
        AWS_ROLE_ARN=home.workload,
        AWS_WEB_IDENTITY_TOKEN_FILE=str(home.token_file),
        AWS_ROLE_SESSION_NAME="pod-1",
        AWS_CONFIG_FILE=str(home.directory / "none"),
    )
    assert found["Arn"] == session_arn(home.workload, "pod-1")


def test_endpoints_from_the_config_file(home: Home, server: Production) -> None:
    config = home.directory / "with-endpoints"
    profiles = (home.directory / "config").read_text()
    services = f"\n[services here]\nsts =\n  endpoint_url = {server.url}\nkms =\n  endpoint_url = {server.url}\n"
    config.write_text(profiles.replace("duration_seconds = 900", "duration_seconds = 900\nservices = here") + services)
    home.aws("kms", "list-keys", "--profile", "deploy", told=False, AWS_CONFIG_FILE=str(config))
