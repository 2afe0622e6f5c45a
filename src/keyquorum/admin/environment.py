# SPDX-License-Identifier: Apache-2.0
"""What ``keyquorum env`` shows to whoever can read the data directory, the seal key included."""

import shlex

import msgspec

from keyquorum.app import open_data
from keyquorum.config import Settings
from keyquorum.custody.seal import SealError
from keyquorum.errors import IntegrityError, KMSError
from keyquorum.layout import DataDirectory, Endpoint
from keyquorum.model import ROOT
from keyquorum.store.migrate import SchemaError


class NoServerError(Exception):
    """There is no server's data to be read; the text says why."""


def read(settings: Settings) -> dict[str, str]:
    """The environment variables of AWS's SDKs, by name. Raises NoServerError."""
    data = settings.data
    assert data is not None
    directory = DataDirectory(data)
    try:
        endpoint = msgspec.json.decode(directory.endpoint.read_bytes(), type=Endpoint)
    except (OSError, msgspec.DecodeError) as error:
        raise NoServerError(f"no server has been started on {data}") from error
    try:
        opened = open_data(settings, create=False)  # as it is: nothing is made or upgraded
        with opened.database.read() as connection:
            root = opened.store.identities.principal(connection, endpoint.account, ROOT, ROOT)
            found = [] if root is None else opened.store.access_keys.of(connection, root.principal_id)
        access_keys = [key for key in found if key.public_key is None and key.status == "Active"]
        if not access_keys:
            raise NoServerError(f"the root of account {endpoint.account} has no access key with a secret here")
        secret = opened.keyring.secret_of(access_keys[0])
        opened.database.close()
    except (IntegrityError, KMSError, OSError, SchemaError, SealError) as error:
        raise NoServerError(f"the data directory {data} cannot be opened: {error}") from error
    return {
        "AWS_ENDPOINT_URL_KMS": endpoint.url,
        "AWS_ENDPOINT_URL_STS": endpoint.url,
        "AWS_ENDPOINT_URL_IAM": endpoint.url,
        "AWS_ACCESS_KEY_ID": access_keys[0].access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": endpoint.region,
        # The name that boto3 and version 1 of the AWS CLI read instead.
        "AWS_DEFAULT_REGION": endpoint.region,
    } | ({} if endpoint.ca_bundle is None else {"AWS_CA_BUNDLE": endpoint.ca_bundle})


def as_exports(variables: dict[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def as_object(variables: dict[str, str]) -> str:
    return msgspec.json.encode(variables).decode()
