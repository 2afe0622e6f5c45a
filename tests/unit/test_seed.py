# SPDX-License-Identifier: Apache-2.0
"""The seed file: what is wrong with it is said with table, number and field; the rest is made where absent."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from direct import ACCOUNT, Direct, development
from sigv4_requests import signed_by_botocore

from keyquorum import seed
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.seed import SeedError

KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
KEY = f'[[key]]\nid = "{KEY_ID}"\n'
USER = '[[user]]\nname = "alice"\naccess_key_id = "AKIAALICE"\nsecret_access_key = "s"\n'
POLICY = """policy = '''{"Version": "2012-10-17", "Statement": []}'''\n"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[key]\n", "the seed file is not TOML: .*line 1"),
        ("[[key]]\nid = 'a'\nid = 'b'\n", "not TOML: .*line 3"),
        ("[[keys]]\nid = 'a'\n", "the seed file: .*unknown field 'keys'|`keys`"),
        ("[key]\nid = 'a'\n", r"\[\[key\]\]: Expected `array`|Expected 'array'"),
        ("[[account]]\n", r"\[\[account\]\] number 1: .*missing required field 'id'"),
        ("[[account]]\nid = 111122223333\n", r"\[\[account\]\] number 1, id: Expected 'str', got 'int'"),
        ("[[account]]\nid = '1'\n", r"\[\[account\]\] number 1, id: an account is 12 digits"),
        ("[[account]]\nid = '111122223333'\nname = 'x'\n", r"\[\[account\]\] number 1: .*unknown field 'name'"),
        (USER + USER.replace('"alice"', '"a b"'), r"\[\[user\]\] number 2, name: a user name is"),
        (USER.replace("AKIAALICE", "AKIA-1"), r"\[\[user\]\] number 1, access_key_id: "),
        (USER.replace("AKIAALICE", "AKI"), r"\[\[user\]\] number 1, access_key_id: "),
        (USER.replace('"s"', '""'), r"\[\[user\]\] number 1, secret_access_key: must not be empty"),
        (USER.replace('"s"', "5"), r"\[\[user\]\] number 1, secret_access_key: Expected 'str'"),
        (USER + "account = '12'\n", r"\[\[user\]\] number 1, account: an account is 12 digits"),
        (USER + "policy = '{}'\n", r"\[\[user\]\] number 1, policy: "),
        (USER.replace("name", "nome"), r"\[\[user\]\] number 1"),
        (KEY + KEY.replace(KEY_ID, "a b"), r"\[\[key\]\] number 2, id: a key ID is"),
        (KEY + "account = 'x'\n", r"\[\[key\]\] number 1, account: is 12 digits"),
        (KEY + "region = 'moon'\n", r"\[\[key\]\] number 1, region: must look like us-east-1"),
        (KEY + "spec = 'RSA'\n", r"\[\[key\]\] number 1, spec: must be one of SYMMETRIC_DEFAULT"),
        (KEY + "usage = 'SIGN_VERIFY'\n", r"\[\[key\]\] number 1, usage: does not go with spec"),
        (KEY + "origin = 'AWS_CLOUDHSM'\n", r"\[\[key\]\] number 1, origin: "),
        (KEY + "material = ''\n", r"\[\[key\]\] number 1, material: must be hexadecimal, and not empty"),
        (KEY + f"material = '{'zz' * 32}'\n", r"\[\[key\]\] number 1, material: must be"),
        (KEY + "state = 'Creating'\n", r"\[\[key\]\] number 1, state: must be one of Enabled, Disabled, Pend"),
        (KEY + "state = 'PendingDeletion'\n", r"\[\[key\]\] number 1, deletion_date: goes with state"),
        (KEY + "deletion_date = 2030-01-01T00:00:00Z\n", r"\[\[key\]\] number 1, deletion_date: goes with state"),
        (
            KEY + "state = 'PendingDeletion'\ndeletion_date = 2030-01-01T00:00:00\n",
            r"\[\[key\]\] number 1, deletion_date: must have a time and an offset",
        ),
        (
            KEY + "state = 'PendingDeletion'\ndeletion_date = 2030-01-01\n",
            r"\[\[key\]\] number 1, deletion_date: ",
        ),
        (KEY + "aliases = ['app']\n", r"\[\[key\]\] number 1, aliases: an alias is"),
        (KEY + "aliases = ['alias/aws/s3']\n", r"\[\[key\]\] number 1, aliases: an alias is"),
        (KEY + "aliases = ['alias/a', 7]\n", r"\[\[key\]\] number 1, aliases.*Expected 'str', got 'int'"),
        (KEY + "policy = '{}'\n", r"\[\[key\]\] number 1, policy: "),
        (KEY + "tags = { a = 1 }\n", r"\[\[key\]\] number 1, tags.*Expected 'str'"),
        (KEY + "tags = {" + ",".join(f"t{n}=''" for n in range(51)) + "}\n", r"\[\[key\]\] number 1, tags: at most 50"),
        (KEY + f"description = '{'x' * 8193}'\n", r"\[\[key\]\] number 1, description: at most 8192"),
        (KEY + "colour = 'red'\n", r"\[\[key\]\] number 1: .*unknown field 'colour'"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(text: str, said: str) -> None:
    with pytest.raises(SeedError, match=said):
        seed.parse(text)


@pytest.mark.parametrize("secret", ["secret_access_key = 'hunter2-hunter2'", "material = 'hunter2-hunter2'"])
def test_what_is_said_holds_no_secret(secret: str) -> None:
    table = KEY if secret.startswith("material") else USER.replace('secret_access_key = "s"\n', "") + "account = '1'\n"
    with pytest.raises(SeedError) as caught:
        seed.parse(table + secret)
    assert "hunter2" not in str(caught.value)


def test_what_the_seed_holds_is_not_shown() -> None:
    parsed = seed.parse(USER.replace('"s"', '"hunter2"') + KEY + f"material = '{'ab' * 32}'\n")
    assert "hunter2" not in repr(parsed)
    assert "abab" not in repr(parsed)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match=r"absent\.toml cannot be read: No such file"):
        seed.read(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(SeedError, match="not UTF-8"):
        seed.read(tmp_path / "latin.toml")


def test_an_empty_seed_is_one() -> None:
    assert seed.parse("") == seed.Seed()


# -- applied


FULL = f"""
[[account]]
id = "444455556666"

[[user]]
name = "alice"
access_key_id = "AKIAIOSFODNN7EXAMPLE"
secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

[[key]]
id = "{KEY_ID}"
material = "{"0f" * 32}"
aliases = ["alias/app", "alias/app/2"]
tags = {{ b = "2", a = "1" }}
description = "from the seed"

[[key]]
id = "doomed"
state = "PendingDeletion"
deletion_date = 2100-01-01T00:00:00+01:00

[[key]]
id = "off"
state = "Disabled"
region = "eu-west-1"
account = "444455556666"
"""


def seeded(tmp_path: Path, text: str = FULL) -> Path:
    path = tmp_path / "seed.toml"
    path.write_text(text)
    return path


def metadata(kms: Direct, key_id: str) -> Any:
    return kms("DescribeKey", KeyId=key_id).body["KeyMetadata"]


def test_a_valid_seed_is_there(tmp_path: Path) -> None:
    with development(seeded(tmp_path)) as kms:
        key = metadata(kms, KEY_ID)
        assert (key["Enabled"], key["Description"]) == (True, "from the seed")
        assert metadata(kms, "alias/app")["KeyId"] == metadata(kms, "alias/app/2")["KeyId"] == KEY_ID
        assert kms("ListResourceTags", KeyId=KEY_ID).body["Tags"] == [
            {"TagKey": "a", "TagValue": "1"},
            {"TagKey": "b", "TagValue": "2"},
        ]
        assert metadata(kms, "doomed")["DeletionDate"] == 4102441200
        assert kms("CancelKeyDeletion", KeyId="doomed").code is None
        assert kms("DescribeKey", KeyId="off").code == "NotFoundException"  # another account's
        caller = signed_by_botocore(body=b'{"Limit":1}', extra={"X-Amz-Target": "TrentService.ListKeys"})
        assert kms.send(caller).record["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"


def test_fixed_material_decrypts_on_another_server_only_with_its_root_key(tmp_path: Path) -> None:
    """The material is the seed's; a ciphertext says which, so a server with the same seed knows it as its own."""
    path = seeded(tmp_path)
    service = Service(Settings(data=tmp_path / "data", seed=path, development=True))
    one = Direct(service)
    ciphertext = one("Encrypt", KeyId=KEY_ID, Plaintext=b"x").body["CiphertextBlob"]
    service.close()
    again = Service(Settings(data=tmp_path / "data", seed=path, development=True))
    assert Direct(again)("Decrypt", CiphertextBlob=ciphertext).body["Plaintext"] == base64.b64encode(b"x").decode()
    again.close()


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = seeded(tmp_path)
    service = Service(Settings(data=tmp_path / "data", seed=path, development=True))
    kms = Direct(service)
    kms("UpdateKeyDescription", KeyId=KEY_ID, Description="mine")
    kms("DisableKey", KeyId=KEY_ID)
    kms("UpdateAlias", AliasName="alias/app", TargetKeyId=kms.key())
    moved_to = metadata(kms, "alias/app")["KeyId"]
    kms("DeleteAlias", AliasName="alias/app/2")
    service.close()
    again = Service(Settings(data=tmp_path / "data", seed=path, development=True))
    kms = Direct(again)
    key = metadata(kms, KEY_ID)
    assert (key["Description"], key["KeyState"]) == ("mine", "Disabled")
    assert metadata(kms, "alias/app")["KeyId"] == moved_to != KEY_ID
    assert metadata(kms, "alias/app/2")["KeyId"] == KEY_ID  # absent, so made again
    again.close()


def test_a_key_that_was_deleted_is_not_brought_back(tmp_path: Path) -> None:
    path = seeded(tmp_path)
    service = Service(Settings(data=tmp_path / "data", seed=path, development=True))
    kms = Direct(service)
    kms("ScheduleKeyDeletion", KeyId=KEY_ID, PendingWindowInDays=7)
    kms.advance(8 * 86_400)
    assert kms("DescribeKey", KeyId=KEY_ID).code == "NotFoundException"
    service.close()
    again = Service(Settings(data=tmp_path / "data", seed=path, development=True))
    kms = Direct(again)
    assert kms("DescribeKey", KeyId=KEY_ID).code == "NotFoundException"
    assert kms("DescribeKey", KeyId="alias/app").code == "NotFoundException"
    assert kms("CreateKey", Tags=[{"TagKey": "_custom_id_", "TagValue": KEY_ID}]).code == "AlreadyExistsException"
    again.close()


def test_nothing_of_a_faulty_file_is_applied(tmp_path: Path) -> None:
    path = seeded(tmp_path, FULL + "\n[[key]]\nid = 'a b'\n")
    with pytest.raises(SeedError, match=r"\[\[key\]\] number 4, id"):
        Service(Settings(data=tmp_path / "data", seed=path))
    assert not (tmp_path / "data").exists()


def test_a_reset_brings_the_seed_back(tmp_path: Path) -> None:
    with development(seeded(tmp_path)) as kms:
        before = metadata(kms, KEY_ID)
        kms("ScheduleKeyDeletion", KeyId=KEY_ID, PendingWindowInDays=7)
        kms("DeleteAlias", AliasName="alias/app")
        kms.advance(8 * 86_400)
        made = kms.key()
        kms.service.reset()
        assert json.dumps({**metadata(kms, KEY_ID), "CreationDate": 0}) == json.dumps({**before, "CreationDate": 0})
        assert metadata(kms, "alias/app")["KeyId"] == KEY_ID
        assert kms("DescribeKey", KeyId=made).code == "NotFoundException"
        assert kms.service.clock.offset == 0
