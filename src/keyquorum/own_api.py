# SPDX-License-Identifier: Apache-2.0
"""The requests and responses of what AWS has no operation for, in the form of ``api``: data only. Their protocol is AWS
JSON 1.0 with targets ``Keyquorum.*``, signed for the service ``keyquorum`` (docs/adr/0024)."""

from typing import ClassVar, Final

from keyquorum.api import Constraint, Integer, KeyMetadata, Member, OperationShape, Shape, Timestamp

_TOKEN: Final = Constraint(kind="string", min=1, max=1024, sensitive=True)
_LOGIN: Final = Constraint(kind="string", min=1, max=32_768, sensitive=True)  # a session is in it, with its policies
_ARN: Final = Constraint(kind="string", min=1, max=2048)
_WORDS: Final = Constraint(kind="string", max=2048)


class ConsoleLoginRequest(Shape, frozen=True, kw_only=True):
    _secret: ClassVar[frozenset[str]] = frozenset({"nonce"})

    nonce: str | None = None


class ConsoleLoginResponse(Shape, frozen=True, kw_only=True):
    _secret: ClassVar[frozenset[str]] = frozenset({"token"})

    token: str | None = None
    expires_at: Timestamp | None = None


class ConsoleSessionRequest(Shape, frozen=True, kw_only=True):
    _secret: ClassVar[frozenset[str]] = frozenset({"token"})

    token: str | None = None


class ConsoleSessionResponse(Shape, frozen=True, kw_only=True):
    expires_at: Timestamp | None = None


class ConsoleLogoutRequest(Shape, frozen=True, kw_only=True):
    pass


class ConsoleLogoutResponse(Shape, frozen=True, kw_only=True):
    pass


class SearchKeysRequest(Shape, frozen=True, kw_only=True):
    limit: int | None = None
    marker: str | None = None
    text: str | None = None
    key_states: list[str] | None = None
    key_specs: list[str] | None = None
    key_usages: list[str] | None = None
    origins: list[str] | None = None
    tag_key: str | None = None
    tag_value: str | None = None
    used_within_days: int | None = None
    unused_for_days: int | None = None


class LastUse(Shape, frozen=True, kw_only=True):
    operation: str | None = None
    timestamp: Timestamp | None = None


class FoundKey(Shape, frozen=True, kw_only=True):
    """What is absent is not for the caller to see."""

    key_id: str | None = None
    key_arn: str | None = None
    key_metadata: KeyMetadata | None = None
    aliases: list[str] | None = None
    tags: dict[str, str] | None = None
    last_usage: LastUse | None = None


class SearchKeysResponse(Shape, frozen=True, kw_only=True):
    """``looked_at`` is there if a search ended early, after so many keys."""

    keys: list[FoundKey] | None = None
    next_marker: str | None = None
    truncated: bool | None = None
    looked_at: int | None = None


class CheckKeyPolicyRequest(Shape, frozen=True, kw_only=True):
    key_id: str | None = None
    policy: str | None = None


class CheckKeyPolicyResponse(Shape, frozen=True, kw_only=True):
    """``locks_out``: whether the caller could not put another policy after this one."""

    locks_out: bool | None = None


_POLICY: Final = Constraint(kind="string", min=1, max=131072, pattern="[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+")
_TEXT: Final = Constraint(kind="string", max=256, pattern=r"[^\x00-\x1f]*")
_NAMES: Final = Constraint(
    kind="list", max=32, element=Constraint(kind="string", min=1, max=64, pattern=r"[A-Za-z0-9_]+")
)
_DAYS: Final = Constraint(kind="integer", min=0, max=36_500)

# -- the audit log, in CloudTrail's words (AWS CloudTrail API reference, LookupEvents)


class LookupAttribute(Shape, frozen=True, kw_only=True):
    attribute_key: str | None = None
    attribute_value: str | None = None


class LookupEventsRequest(Shape, frozen=True, kw_only=True):
    """Events must have all attributes that are asked for; CloudTrail takes one at a time."""

    lookup_attributes: list[LookupAttribute] | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    max_results: Integer | None = None
    next_token: str | None = None


class EventResource(Shape, frozen=True, kw_only=True):
    resource_type: str | None = None
    resource_name: str | None = None


class Event(Shape, frozen=True, kw_only=True):
    """``cloud_trail_event`` is the record, as JSON in a text."""

    event_id: str | None = None
    event_name: str | None = None
    read_only: str | None = None
    access_key_id: str | None = None
    event_time: Timestamp | None = None
    event_source: str | None = None
    username: str | None = None
    resources: list[EventResource] | None = None
    cloud_trail_event: str | None = None


class LookupEventsResponse(Shape, frozen=True, kw_only=True):
    """With ``next_token`` there may be more, and ``looked_back_to`` is how far back was looked, if it is known."""

    events: list[Event] | None = None
    next_token: str | None = None
    looked_back_to: Timestamp | None = None


class CountEventsRequest(Shape, frozen=True, kw_only=True):
    """``period``: seconds that are counted together."""

    lookup_attributes: list[LookupAttribute] | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    period: Integer | None = None


class EventCount(Shape, frozen=True, kw_only=True):
    """``error_code`` is absent for what was allowed."""

    start_time: Timestamp | None = None
    event_name: str | None = None
    error_code: str | None = None
    count: Integer | None = None


class CountEventsResponse(Shape, frozen=True, kw_only=True):
    """``looked_back_to``: what is older was not counted, there being too much to read."""

    counts: list[EventCount] | None = None
    looked_back_to: Timestamp | None = None


# -- how many keys there are


class CountKeysRequest(Shape, frozen=True, kw_only=True):
    pass


class CountKeysResponse(Shape, frozen=True, kw_only=True):
    """``truncated``: there are more, which were not counted."""

    by_state: dict[str, int] | None = None
    truncated: bool | None = None


# -- how the server is


class GetStatusRequest(Shape, frozen=True, kw_only=True):
    pass


class ServerStatus(Shape, frozen=True, kw_only=True):
    """``node``: among those that share a database. Times in seconds since the epoch."""

    node: str | None = None
    version: str | None = None
    python: str | None = None
    open_ssl: str | None = None
    process_id: Integer | None = None
    processes: Integer | None = None
    started_at: Timestamp | None = None
    development: bool | None = None
    ready: bool | None = None
    checks: dict[str, str] | None = None


class NodeStatus(Shape, frozen=True, kw_only=True):
    """A node of the database; ``waiting``: how many of its audit records are in the database."""

    node: str | None = None
    waiting: Integer | None = None


class SealStatus(Shape, frozen=True, kw_only=True):
    """``state`` is open: whoever answers has the root key. ``recovery``: the kind of the recovery seal, if there is
    one."""

    kind: str | None = None
    state: str | None = None
    sealed_at: Timestamp | None = None
    recovery: str | None = None
    keyring_version: Integer | None = None


class DatabaseStatus(Shape, frozen=True, kw_only=True):
    """``connections`` of the pool are in use, of ``most``. ``lease_seconds``: how long what is cached is still good."""

    kind: str | None = None
    version: str | None = None
    schema: str | None = None
    changes: Integer | None = None
    connections: Integer | None = None
    most: Integer | None = None
    lease_seconds: float | None = None


class JobsStatus(Shape, frozen=True, kw_only=True):
    """``due``: by job, what is due and not done, where the jobs are run."""

    leads: bool | None = None
    last_run: Timestamp | None = None
    failures: Integer | None = None
    due: dict[str, int] | None = None


class ChainStatus(Shape, frozen=True, kw_only=True):
    """Where the log of a writer ends."""

    writer: Integer | None = None
    chain: str | None = None
    sequence: Integer | None = None
    hash: str | None = None


class Verification(Shape, frozen=True, kw_only=True):
    """The last ``keyquorum audit verify`` of this node. ``uncovered``: records that no checkpoint stated yet."""

    verified_at: Timestamp | None = None
    whole: bool | None = None
    records: Integer | None = None
    uncovered: Integer | None = None
    problems: list[str] | None = None


class AuditStatus(Shape, frozen=True, kw_only=True):
    """``kept``: whether records go to a disk. ``own`` is this process's chain, ``heads`` what the last checkpoint
    states. ``waiting``: records that have committed and are not in the file yet."""

    kept: bool | None = None
    own: ChainStatus | None = None
    checkpoint: Integer | None = None
    checkpoint_at: Timestamp | None = None
    heads: list[ChainStatus] | None = None
    waiting: Integer | None = None
    verification: Verification | None = None


class GetStatusResponse(Shape, frozen=True, kw_only=True):
    server: ServerStatus | None = None
    nodes: list[NodeStatus] | None = None
    seal: SealStatus | None = None
    database: DatabaseStatus | None = None
    jobs: JobsStatus | None = None
    audit: AuditStatus | None = None


# -- why something is allowed, or refused


class ContextEntry(Shape, frozen=True, kw_only=True):
    context_key_name: str | None = None
    context_key_values: list[str] | None = None


class ExplainAccessRequest(Shape, frozen=True, kw_only=True):
    """``principal``: the ARN of a root, user, role or role's session of the caller's account."""

    principal: str | None = None
    action: str | None = None
    resource: str | None = None
    encryption_context: dict[str, str] | None = None
    context_entries: list[ContextEntry] | None = None


class RequestKey(Shape, frozen=True, kw_only=True):
    """A condition key, and what the request has of it: nothing if it has none. ``withheld``: the permission without
    which that is not shown."""

    context_key_name: str | None = None
    context_key_values: list[str] | None = None
    withheld: str | None = None


class StatementPart(Shape, frozen=True, kw_only=True):
    """A statement of a policy: ``index`` from 0. ``document`` is the whole policy as it was put, and the statement is
    its characters from ``start`` to ``end``. ``has``: the condition keys that it asks for, and what the request has of
    them. ``withheld``: the permission without which its text is not shown."""

    policy: str | None = None
    index: Integer | None = None
    sid: str | None = None
    document: str | None = None
    start: Integer | None = None
    end: Integer | None = None
    has: list[RequestKey] | None = None
    withheld: str | None = None


class ExplainAccessResponse(Shape, frozen=True, kw_only=True):
    """As ``keyquorum iam explain`` tells it (docs/policies.md)."""

    allowed: bool | None = None
    principal: str | None = None
    action: str | None = None
    resource: str | None = None
    reason: str | None = None
    source: str | None = None
    why: str | None = None
    part: StatementPart | None = None
    grant_id: str | None = None
    let_in: StatementPart | None = None
    nearly: list[StatementPart] | None = None
    message: str | None = None


ATTRIBUTES: Final = (
    "AccessKeyId", "ErrorCode", "EventId", "EventName", "EventSource", "ExceptEventName",
    "Outcome", "ReadOnly", "RequestId", "ResourceName", "Username",
)  # fmt: skip

_ATTRIBUTES: Final = Member(
    "lookup_attributes",
    "lookupAttributes",
    Constraint(kind="list", max=10, element=Constraint(kind="structure", nested=LookupAttribute)),
)

CONSTRAINTS: Final[dict[type[Shape], tuple[Member, ...]]] = {
    CheckKeyPolicyRequest: (
        Member("key_id", "keyId", Constraint(kind="string", min=1, max=2048), required=True),
        Member("policy", "policy", _POLICY, required=True),
    ),
    SearchKeysRequest: (
        Member("limit", "limit", Constraint(kind="integer", min=1, max=100)),
        Member("marker", "marker", Constraint(kind="string", min=1, max=1024)),
        Member("text", "text", _TEXT),
        Member("key_states", "keyStates", _NAMES),
        Member("key_specs", "keySpecs", _NAMES),
        Member("key_usages", "keyUsages", _NAMES),
        Member("origins", "origins", _NAMES),
        Member("tag_key", "tagKey", _TEXT),
        Member("tag_value", "tagValue", _TEXT),
        Member("used_within_days", "usedWithinDays", _DAYS),
        Member("unused_for_days", "unusedForDays", _DAYS),
    ),
    ConsoleLoginRequest: (Member("nonce", "nonce", _TOKEN, required=True),),
    ConsoleSessionRequest: (Member("token", "token", _LOGIN, required=True),),
    LookupAttribute: (
        Member("attribute_key", "attributeKey", Constraint(kind="string", enum=ATTRIBUTES), required=True),
        Member("attribute_value", "attributeValue", Constraint(kind="string", min=1, max=1024), required=True),
    ),
    LookupEventsRequest: (
        _ATTRIBUTES,
        Member("max_results", "maxResults", Constraint(kind="integer", min=1, max=50)),
        Member("next_token", "nextToken", Constraint(kind="string", min=1, max=65_536, sensitive=True)),
    ),
    CountEventsRequest: (
        _ATTRIBUTES,
        Member("period", "period", Constraint(kind="integer", min=1, max=31_622_400)),
    ),
    ConsoleLogoutRequest: (),
    CountKeysRequest: (),
    GetStatusRequest: (),
    ContextEntry: (
        Member("context_key_name", "contextKeyName", Constraint(kind="string", min=5, max=256), required=True),
        Member(
            "context_key_values",
            "contextKeyValues",
            Constraint(kind="list", max=50, element=Constraint(kind="string", max=2048)),
        ),
    ),
    ExplainAccessRequest: (
        Member("principal", "principal", _ARN, required=True),
        Member("action", "action", Constraint(kind="string", min=3, max=128), required=True),
        Member("resource", "resource", _ARN),
        Member("encryption_context", "encryptionContext", Constraint(kind="map", max=100, key=_WORDS, value=_WORDS)),
        Member(
            "context_entries",
            "contextEntries",
            Constraint(kind="list", max=50, element=Constraint(kind="structure", nested=ContextEntry)),
        ),
    ),
}

OPERATIONS: Final[dict[str, OperationShape]] = {
    "CheckKeyPolicy": OperationShape(
        CheckKeyPolicyRequest, CheckKeyPolicyResponse, frozenset({"MalformedPolicyDocumentException"})
    ),
    "SearchKeys": OperationShape(SearchKeysRequest, SearchKeysResponse, frozenset({"InvalidMarkerException"})),
    "ConsoleLogin": OperationShape(ConsoleLoginRequest, ConsoleLoginResponse, frozenset()),
    "ConsoleSession": OperationShape(ConsoleSessionRequest, ConsoleSessionResponse, frozenset()),
    "ConsoleLogout": OperationShape(ConsoleLogoutRequest, ConsoleLogoutResponse, frozenset()),
    "LookupEvents": OperationShape(LookupEventsRequest, LookupEventsResponse, frozenset()),
    "CountEvents": OperationShape(CountEventsRequest, CountEventsResponse, frozenset()),
    "CountKeys": OperationShape(CountKeysRequest, CountKeysResponse, frozenset()),
    "GetStatus": OperationShape(GetStatusRequest, GetStatusResponse, frozenset()),
    "ExplainAccess": OperationShape(ExplainAccessRequest, ExplainAccessResponse, frozenset()),
}
