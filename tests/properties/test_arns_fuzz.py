# SPDX-License-Identifier: Apache-2.0
"""Whatever a request calls a key: what is written is read back, and nothing but the three faults comes of the rest."""

from hypothesis import given
from hypothesis import strategies as st

from keyquorum import arns
from keyquorum.errors import InvalidArnException, NotFoundException, ValidationException

LAYOUTS = st.sampled_from([arns.AWS, arns.VERENC]).map(arns.ArnLayout)
ACCOUNTS = st.text("0123456789", min_size=12, max_size=12)
KEY_IDS = st.text("abcdef0123456789-XYZ", min_size=1, max_size=64)
NAMES = st.text("abcXYZ019/_-", min_size=1, max_size=250).map("alias/".__add__)
PIECES = st.sampled_from(
    [
        "arn",
        ":",
        "aws",
        "kms",
        "verenc",
        "us-east-1",
        "111122223333",
        "key",
        "alias",
        "/",
        "a",
        "*",
        "\n",
        "\u0661",
        "é",
    ]
)


@given(LAYOUTS, ACCOUNTS, KEY_IDS, NAMES)
def test_what_is_written_is_read_back(layout: arns.ArnLayout, account: str, key_id: str, name: str) -> None:
    region = None if layout.name == arns.VERENC else "eu-west-1"
    key = arns.parse(layout.key("eu-west-1", account, key_id), declares_invalid_arn=True)
    alias = arns.parse(layout.alias("eu-west-1", account, name), declares_invalid_arn=True)
    assert key == arns.KeyRef(key_id, None, account, region)
    assert alias == arns.KeyRef(None, name, account, region)


@given(st.text() | st.lists(PIECES, max_size=12).map("".join), st.booleans())
def test_any_text(text: str, declares: bool) -> None:
    try:
        ref = arns.parse(text, declares_invalid_arn=declares)
    except ValidationException:
        assert not text.isascii()
    except NotFoundException:
        assert not (declares and text.startswith("arn:"))
    except InvalidArnException:
        assert declares
        assert text.startswith("arn:")
    else:
        assert (ref.key_id is None) != (ref.alias is None)
        assert ref.key_id is None or arns.is_usable_key_id(ref.key_id)
