# SPDX-License-Identifier: Apache-2.0
"""One record a request, allowed or refused, in the form of a CloudTrail record.

Milliseconds have no place in CloudTrail's ``eventTime`` (the format of a date is part of the major version); they are
kept in ``additionalEventData``, so that records of several writers merge in the order in which they happened. That
member is the last of a record, where the chain is put in as the record enters its file (``audit.chain``).

Source: AWS CloudTrail User Guide, "CloudTrail record contents" and "CloudTrail userIdentity element".
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

#: How much of a text that the client controls a record takes, in characters.
LONGEST_TEXT: Final = 1024

_encoder = msgspec.json.Encoder()


class SessionIssuer(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The role whose session it is."""

    type: str
    principal_id: str
    arn: str
    account_id: str
    user_name: str


class WebIdentity(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Which OIDC provider vouched for whoever assumed the role."""

    federated_provider: str
    attributes: dict[str, str] = {}


class SessionAttributes(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    creation_date: str
    mfa_authenticated: Literal["true", "false"]


class SessionContext(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    attributes: SessionAttributes
    session_issuer: SessionIssuer | UnsetType = UNSET
    web_id_federation_data: WebIdentity | UnsetType = UNSET
    source_identity: str | UnsetType = UNSET


class Identity(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """CloudTrail's userIdentity."""

    type: str = ""
    principal_id: str = ""
    arn: str = ""
    account_id: str = ""
    access_key_id: str = ""
    user_name: str = ""
    session_context: SessionContext | None = None
    identity_provider: str = ""
    invoked_by: str = ""


class Resource(msgspec.Struct, frozen=True, gc=False):
    """A key that the request named or found."""

    accountId: str  # noqa: N815 - CloudTrail's spelling
    ARN: str
    type: str = "AWS::KMS::Key"


class AdditionalData(msgspec.Struct, frozen=True, gc=False):
    """What the form has no place for."""

    milliseconds: int


class Record(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel"):
    event_version: str = "1.11"
    user_identity: Identity | msgspec.Raw
    event_time: str
    event_source: str
    event_name: str
    aws_region: str
    source_address: str = msgspec.field(name="sourceIPAddress")
    user_agent: str
    error_code: str | UnsetType = UNSET
    error_message: str | UnsetType = UNSET
    request_parameters: dict[str, Any] | None = None
    response_elements: dict[str, Any] | None = None
    request_id: str = msgspec.field(name="requestID")
    event_id: str = msgspec.field(name="eventID")
    read_only: bool
    resources: list[msgspec.Raw]
    event_type: Literal["AwsApiCall", "AwsServiceEvent"] = "AwsApiCall"
    management_event: bool = True
    recipient_account_id: str
    service_event_details: dict[str, Any] | UnsetType = UNSET
    event_category: str = "Management"
    additional_event_data: AdditionalData


class _Time(msgspec.Struct, rename="camel"):
    event_time: str


_time_decoder = msgspec.json.Decoder(_Time)


def encode(record: Record) -> bytes:
    """The record as it is before it has a place in a chain: no newline, ``additionalEventData`` at its end."""
    return _encoder.encode(record)


def written(part: Identity | Resource) -> msgspec.Raw:
    """A part of records, encoded once for many of them."""
    return msgspec.Raw(_encoder.encode(part))


def time_of(now: float) -> tuple[str, int]:
    """The second that a time is in, in ISO 8601 and UTC, and the milliseconds of it."""
    second, microsecond = divmod(round(now * 1e6), 1_000_000)
    return iso_second(second), microsecond // 1000


def second_of(record: bytes) -> float:
    """The second that a record says it is of, since the epoch."""
    return datetime.fromisoformat(_time_decoder.decode(record).event_time).timestamp()


@lru_cache(maxsize=16)
def iso_second(second: int) -> str:
    """A date takes longer to write than the rest of a record, and many records have the same."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bounded(text: str) -> str:
    """What a client sent, cut to a length that cannot fill a disk by itself."""
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT]
