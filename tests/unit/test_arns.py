# SPDX-License-Identifier: Apache-2.0
"""The four forms in which a request names a key, in both ARN layouts."""

import pytest

from keyquorum import arns
from keyquorum.arns import ArnLayout, KeyRef
from keyquorum.errors import InvalidArnException, NotFoundException, ValidationException

ACCOUNT = "111122223333"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
AWS = f"arn:aws:kms:eu-west-1:{ACCOUNT}:"
VERENC = f"arn:aws:verenc:{ACCOUNT}:"


@pytest.mark.parametrize("declares", [True, False])
@pytest.mark.parametrize(
    ("text", "ref"),
    [
        (KEY_ID, KeyRef(KEY_ID, None)),
        ("mrk-1234abcd12ab34cd56ef1234567890ab", KeyRef("mrk-1234abcd12ab34cd56ef1234567890ab", None)),
        ("my-key", KeyRef("my-key", None)),
        ("alias/app/prod_1", KeyRef(None, "alias/app/prod_1")),
        (AWS + "key/" + KEY_ID, KeyRef(KEY_ID, None, ACCOUNT, "eu-west-1")),
        (AWS + "alias/app/prod", KeyRef(None, "alias/app/prod", ACCOUNT, "eu-west-1")),
        (VERENC + "key/" + KEY_ID, KeyRef(KEY_ID, None, ACCOUNT)),
        (VERENC + "alias/app/prod", KeyRef(None, "alias/app/prod", ACCOUNT)),
    ],
)
def test_a_key_is_named(text: str, ref: KeyRef, declares: bool) -> None:
    assert arns.parse(text, declares_invalid_arn=declares) == ref


@pytest.mark.parametrize(
    "text",
    [
        "arn:",
        "arn:aws:kms",
        "arn:aws:s3:eu-west-1:111122223333:key/a",
        "arn:aws-cn:kms:eu-west-1:111122223333:key/a",
        "arn:aws:kms:eu-west-1:11112222333:key/a",
        "arn:aws:kms::111122223333:key/a",
        "arn:aws:kms:EU:111122223333:key/a",
        "arn:aws:kms:eu-west-1:111122223333:key/",
        "arn:aws:kms:eu-west-1:111122223333:key/a/b",
        "arn:aws:kms:eu-west-1:111122223333:key:a",
        "arn:aws:kms:eu-west-1:111122223333:key/a\n",
        "arn:aws:kms:eu-west-1:111122223333:alias/",
        "arn:aws:kms:eu-west-1:111122223333:alias/a b",
        "arn:aws:verenc:eu-west-1:111122223333:key/a",
        "arn:aws:verenc::key/a",
    ],
)
def test_a_malformed_arn(text: str) -> None:
    for declares, fault in ((True, InvalidArnException), (False, NotFoundException)):
        with pytest.raises(fault) as caught:
            arns.parse(text, declares_invalid_arn=declares)
        assert (type(caught.value), caught.value.message) == (fault, f"Invalid arn {text}")


@pytest.mark.parametrize("text", ["", " ", "a b", "key/a", "a" * 65, KEY_ID + "\n", "ARN:aws:kms:x", "../a"])
@pytest.mark.parametrize("declares", [True, False])
def test_a_malformed_key_id_is_a_key_that_is_not_there(text: str, declares: bool) -> None:
    with pytest.raises(NotFoundException) as caught:
        arns.parse(text, declares_invalid_arn=declares)
    assert caught.value.message == f"Invalid keyId '{text}'"


@pytest.mark.parametrize(
    "text", ["\u00e9", "alias/\u65e5", "arn:aws:kms:eu-west-1:" + "\u0661" * 12 + ":key/a", "\0\x80"]
)
def test_what_is_not_ascii_names_no_key(text: str) -> None:
    with pytest.raises(ValidationException, match="at 'keyId' failed to satisfy constraint"):
        arns.parse(text, declares_invalid_arn=True)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (KEY_ID, True),
        ("mrk-" + "0" * 32, True),
        (KEY_ID.upper(), True),
        (KEY_ID + "0", False),
        ("mrk-" + "0" * 31, False),
        ("my-key", False),
        (KEY_ID + "\n", False),
    ],
)
def test_the_form_of_a_key_id_that_the_service_gives_out(text: str, is_one: bool) -> None:
    assert arns.is_key_id(text) is is_one


def test_one_layout_is_written() -> None:
    aws, verenc = ArnLayout(arns.AWS), ArnLayout(arns.VERENC)
    assert aws.key("eu-west-1", ACCOUNT, KEY_ID) == f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{KEY_ID}"
    assert aws.alias("eu-west-1", ACCOUNT, "alias/a") == f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/a"
    assert verenc.key("eu-west-1", ACCOUNT, KEY_ID) == f"arn:aws:verenc:{ACCOUNT}:key/{KEY_ID}"
    assert verenc.alias("eu-west-1", ACCOUNT, "alias/a") == f"arn:aws:verenc:{ACCOUNT}:alias/a"
