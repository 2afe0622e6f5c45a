# SPDX-License-Identifier: Apache-2.0
"""Where the request path takes a short cut, its outcome is that of the plain rule."""

import re
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from sigv4_requests import at, replaced, request_of, signed_by_botocore

from keyquorum.audit import record
from keyquorum.authn import sigv4
from keyquorum.authn.canonical import canonical_request

VALUES = st.text(" \t:a=;,\v\xa0", max_size=12).map(lambda text: text.encode("latin-1"))
SIGNED = signed_by_botocore(extra={"X-Amz-A": "a", "X-Amz-B": "b", "X-Amz-C": "c"})


def plainly(value: bytes) -> bytes:
    """IAM User Guide: leading and trailing blanks go, and several spaces are one."""
    return re.sub(rb" {2,}", b" ", re.sub(rb"^[ \t]+|[ \t]+\Z", b"", value))


@given(st.tuples(VALUES, VALUES, VALUES))
@example((b"a", b"b", b"c"))
@example((b"", b"", b" "))
@example((b"a", b"b", b"c "))
@example((b"a", b"b", b"c\t"))
@example((b" a", b"b", b"c"))
@example((b"a", b"b  b", b"c"))
@example((b"a: a", b"b", b"c"))
def test_canonical_headers_are_trimmed_and_collapsed(values: tuple[bytes, bytes, bytes]) -> None:
    request = SIGNED
    for name, value in zip((b"x-amz-a", b"x-amz-b", b"x-amz-c"), values, strict=True):
        request = replaced(request, name, value)
    signed = sigv4.parse(request, b"kms", at(request))
    headers = dict(request.headers)
    canonical = canonical_request(request, signed, b"0" * 64).split(b"\n")
    assert canonical[3:-3] == [name + b":" + plainly(headers[name]) for name in signed.signed_headers]
    assert canonical[-3:] == [b"", b";".join(signed.signed_headers), b"0" * 64]


@given(st.lists(VALUES, min_size=2, max_size=4))
def test_a_repeated_header_is_joined_of_trimmed_values(values: list[bytes]) -> None:
    request = signed_by_botocore(extra={"Cache-Control": "a"})
    headers = [header for header in request.headers if header[0] != b"cache-control"]
    request = request_of([*headers, *((b"cache-control", value) for value in values)], request.body)
    signed = sigv4.parse(request, b"kms", at(request))
    line = b"cache-control:" + plainly(b",".join(map(plainly, values)))
    assert line in canonical_request(request, signed, b"").split(b"\n")


@given(st.integers(0, 4_102_444_800_000))
@example(999)
@example(1_764_000_000_999)
def test_a_record_says_its_time_to_the_millisecond(milliseconds: int) -> None:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)
    expected = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    second, rest = record.time_of(milliseconds / 1000)
    assert f"{second[:-1]}.{rest:03}Z" == expected
