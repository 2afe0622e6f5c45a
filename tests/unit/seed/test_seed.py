# SPDX-License-Identifier: Apache-2.0
"""The seed file: what is wrong with it is said with table, number and field; the rest is made where absent."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from direct import ACCOUNT, Direct, development
from iam_requests import PUBLIC_KEY
from sigv4_requests import signed_by_botocore

from keyquorum.admin.client import own_access_key
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.seed import document as seed
from keyquorum.seed.document import SeedError

KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
KEY = f'[[key]]\nid = "{KEY_ID}"\n'
USER = '[[user]]\nname = "alice"\naccess_key_id = "AKIAALICE"\nsecret_access_key = "s"\n'
PROVIDER = "[[oidc_provider]]\nurl = 'https://id.example'\nclient_ids = ['sts']\n"
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
        (USER.replace('"s"', "5"), r"\[\[user\]\] number 1, secret_access_key: Expected 'str \| null'"),
        (USER + "account = '12'\n", r"\[\[user\]\] number 1, account: an account is 12 digits"),
        (USER + "policy = '{}'\n", r"\[\[user\]\] number 1, policy: "),
        (USER.replace('secret_access_key = "s"', ""), r"\[\[user\]\] number 1, access_key_id: goes with"),
        (USER + "public_key = 'AAAA'\n", r"\[\[user\]\] number 1, access_key_id: goes with"),
        ("[[user]]\nname = 'a'\nsecret_access_key = 's'\n", r"\[\[user\]\] number 1, access_key_id: goes with"),
        (USER + "path = 'x'\n", r"\[\[user\]\] number 1: The specified value for path is invalid"),
        (USER + "policies = { p = '{}' }\n", r"\[\[user\]\] number 1, policies\.p: "),
        (USER + "attached = ['arn']\n", r"\[\[user\]\] number 1, attached: .*'policyArn' failed"),
        (USER + "groups = ['']\n", r"\[\[user\]\] number 1, groups: .*'groupName' failed"),
        (USER + "tags = { a = 1 }\n", r"\[\[user\]\] number 1, tags.*Expected 'str'"),
        ("[[group]]\nname = 'a b'\n", r"\[\[group\]\] number 1: The specified value for groupName is invalid"),
        ("[[group]]\nname = 'g'\naccount = '1'\n", r"\[\[group\]\] number 1, account: an account is 12 digits"),
        ("[[role]]\nname = 'r'\ntrust = '{}'\n", r"\[\[role\]\] number 1: Syntax errors in policy|\[\[role\]\]"),
        ("[[role]]\nname = 'r'\n", r"\[\[role\]\] number 1: .*missing required field 'trust'"),
        ("[[policy]]\nname = 'p'\ndocument = '[]'\n", r"\[\[policy\]\] number 1: "),
        (PROVIDER + "jwks = '{}'\njwks_file = 'a'\n", r"\[\[oidc_provider\]\] number 1, jwks_file: does not go"),
        (PROVIDER + "jwks_file = 'absent'\n", r"\[\[oidc_provider\]\] number 1, jwks_file: cannot be read"),
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


@pytest.mark.parametrize(
    "mine",
    ['secret_access_key = "another-secret"', f'public_key = "{PUBLIC_KEY}"'],
    ids=["with a secret", "without"],
)
def test_an_access_key_of_somebody_else_is_not_taken_for_the_users(tmp_path: Path, mine: str) -> None:
    """Whoever has it could go on signing in another's name."""
    Service(Settings(data=tmp_path / "data", seed=seeded(tmp_path))).close()
    other = f'[[user]]\nname = "bob"\naccess_key_id = "AKIAIOSFODNN7EXAMPLE"\n{mine}\n'
    for name in (other, other + 'account = "444455556666"\n'):
        with pytest.raises(SeedError, match=r"\[\[user\]\] number 1, access_key_id: belongs to another principal"):
            Service(Settings(data=tmp_path / "data", seed=seeded(tmp_path, name)))
    Service(Settings(data=tmp_path / "data", seed=seeded(tmp_path))).close()


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


# -- identities


DECRYPT = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}}'
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/team/ann"},
            "Action": "sts:AssumeRole",
        },
    }
)
IDENTITIES = f"""
[[role]]
name = "reader"
trust = '{TRUST}'
max_session = 7200
description = "reads"
attached = ["arn:aws:iam::{ACCOUNT}:policy/decrypt"]
boundary = "arn:aws:iam::aws:policy/AdministratorAccess"

[[user]]
name = "ann"
path = "/team/"
groups = ["readers"]
policies = {{ one = '{DECRYPT}' }}
policy = '{DECRYPT}'
attached = ["arn:aws:iam::aws:policy/IAMReadOnlyAccess"]
tags = {{ team = "x" }}

[[group]]
name = "readers"
policies = {{ g = '{DECRYPT}' }}

[[policy]]
name = "decrypt"
document = '{DECRYPT}'
description = "lets decrypt"

[[oidc_provider]]
url = "https://id.example/realm"
client_ids = ["sts.amazonaws.com"]
jwks_file = "keys.json"

[[key]]
id = "theirs"
policy = '''{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Principal":
    {{"AWS": ["arn:aws:iam::{ACCOUNT}:user/team/ann", "arn:aws:iam::{ACCOUNT}:role/reader"]}},
    "Action": "kms:*", "Resource": "*"}}}}'''
"""


def production(tmp_path: Path, text: str) -> Service:
    (tmp_path / "keys.json").write_text('{"keys": []}')
    return Service(Settings(data=tmp_path / "data", seed=seeded(tmp_path, text)))


def test_identities_are_made_with_all_that_they_are(tmp_path: Path) -> None:
    service = production(tmp_path, IDENTITIES)
    with service.database.read() as connection:
        identities = service.store.identities
        ann = identities.principal(connection, ACCOUNT, "IAMUser", "ann")
        readers = identities.principal(connection, ACCOUNT, "Group", "readers")
        reader = identities.principal(connection, ACCOUNT, "Role", "reader")
        provider = service.store.providers.load(connection, ACCOUNT, "id.example/realm")
        key = service.store.keys.load(connection, "theirs", "us-east-1")
    service.close()
    assert ann is not None
    assert readers is not None
    assert reader is not None
    assert ann.arn == f"arn:aws:iam::{ACCOUNT}:user/team/ann"
    assert ann.inline == (("one", DECRYPT), ("seed", DECRYPT))
    assert (ann.member_of, ann.tags) == ((readers.principal_id,), (("team", "x"),))
    assert ann.attached == ("arn:aws:iam::aws:policy/IAMReadOnlyAccess",)
    assert readers.inline == (("g", DECRYPT),)
    assert (reader.max_session, reader.description) == (7200, "reads")
    assert reader.attached == (f"arn:aws:iam::{ACCOUNT}:policy/decrypt",)
    assert reader.boundary == "arn:aws:iam::aws:policy/AdministratorAccess"
    assert reader.trust is not None
    assert reader.trust.bound == {ann.arn: ann.principal_id}
    assert provider is not None
    assert (provider.client_ids, provider.jwks) == (("sts.amazonaws.com",), '{"keys": []}')
    assert key is not None
    assert key.policy is not None
    assert key.policy.bound == {ann.arn: ann.principal_id, reader.arn: reader.principal_id}


def test_an_identity_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    production(tmp_path, IDENTITIES).close()
    changed = IDENTITIES.replace("team = ", "colour = ").replace("7200", "3600").replace('["readers"]', "[]")
    service = production(tmp_path, changed + '\n[[user]]\nname = "new"\n')
    with service.database.read() as connection:
        ann = service.store.identities.principal(connection, ACCOUNT, "IAMUser", "ann")
        reader = service.store.identities.principal(connection, ACCOUNT, "Role", "reader")
        new = service.store.identities.principal(connection, ACCOUNT, "IAMUser", "new")
    service.close()
    assert ann is not None
    assert reader is not None
    assert new is not None
    assert (ann.tags, len(ann.member_of), reader.max_session) == ((("team", "x"),), 1, 7200)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            IDENTITIES.replace('["readers"]', '["writers"]'),
            r"\[\[user\]\] number 1, groups: .*with name writers",
        ),
        (
            IDENTITIES.replace(":policy/decrypt", ":policy/none"),
            r"\[\[role\]\] number 1, attached: .* not exist",
        ),
        (IDENTITIES.replace("user/team/ann", "user/bob"), r"\[\[role\]\] number 1: .*invalid principals"),
        (IDENTITIES.replace("role/reader", "role/writer"), r"\[\[key\]\] number 1, policy: .*invalid principals"),
        (IDENTITIES.replace("https", "http"), r"\[\[oidc_provider\]\] number 1: "),
        (
            IDENTITIES.replace('tags = { team = "x" }', 'tags = { "aws:a" = "x" }'),
            r"\[\[user\]\] number 1: Tags beginning with aws: are reserved",
        ),
        (
            USER + USER.replace("alice", "Alice").replace("AKIAALICE", "AKIABLICE"),
            r"number 2, name: .*capitals alone",
        ),
    ],
)
def test_what_iam_would_refuse_is_refused_and_nothing_is_made(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SeedError, match=said):
        production(tmp_path, text)
    service = Service(Settings(data=tmp_path / "data"))
    with service.database.read() as connection:
        assert [p.kind for p in service.store.identities.everyone(connection)] == ["Root"]
    service.close()


def test_a_user_who_keeps_the_secret(tmp_path: Path) -> None:
    access_key_id, _, public = own_access_key()
    text = f'[[user]]\nname = "alice"\naccess_key_id = "{access_key_id}"\npublic_key = "{public}"\n'
    for _ in range(2):  # the second time it is there
        service = production(tmp_path, text)
        with service.database.read() as connection:
            made = service.store.access_keys.load(connection, access_key_id)
        service.close()
        assert made is not None
        assert made.public_key == base64.b64decode(public)
    other = text.replace("alice", "bob").replace(access_key_id, "AKIA" + "B" * 16).replace(public, "AAAA")
    with pytest.raises(SeedError, match=r"\[\[user\]\] number 1, public_key: "):
        production(tmp_path, other)


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_documentation(tmp_path: Path, number: int) -> None:
    text = (Path(__file__).parents[3] / "docs" / "development-mode.md").read_text()
    production(tmp_path, re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[number]).close()
