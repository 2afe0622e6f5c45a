# SPDX-License-Identifier: Apache-2.0
"""Try it out: the API's reference as pages, each with a form that makes the real request and shows what went over the
wire. Nothing of a request or an answer is ever in an address: forms carry it, and no page stays in a cache.
"""

from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.explorer_form import Control, Filled, Members, controls, read
from keyquorum.console.outcome import Outcome
from keyquorum.console.rendering import render
from keyquorum.console.site import form_of, get, post
from keyquorum.console.visitors import Visitor
from keyquorum.reference import (
    COMMON,
    FAMILIES,
    MEANINGS,
    PAGES,
    Follower,
    Page,
    about_keys,
    boto3_program,
    carried,
    cli_command,
    curl_command,
    followers,
    steps,
)

_PICKED: Final = 100
_MORE_ROWS: Final = 6
_SPARE_ROWS: Final = 2
#: The cookie's content is this header's: a page that showed it would hand the session to whoever reads the page.
_UNSHOWN: Final = frozenset({"x-amz-security-token"})


class _Member(Struct, frozen=True):
    """A member of an answer. ``text``: what a blob says, if it is a text."""

    name: str
    value: str
    text: str = ""


class _Next(Struct, frozen=True):
    follower: Follower
    members: str


class _Sent(Struct, frozen=True):
    """A request that was made, and the answer."""

    outcome: Outcome
    request: str
    answer: str
    members: tuple[_Member, ...]
    meaning: str
    declared: bool
    following: tuple[_Next, ...]
    key: str
    key_members: str


class _Made(Struct, frozen=True):
    """What was made for an example: the operation, and the key that it was about."""

    operation: str
    why: str
    key: str


async def _index(request: Request, visitor: Visitor) -> Response:
    families = {family: [PAGES[name] for name in names] for family, names in FAMILIES.items()}
    return render(request, visitor, "explorer/index.html", families=families, count=len(PAGES))


async def _page(request: Request, visitor: Visitor) -> Response:
    page = _asked(request)
    return _absent(request, visitor) if page is None else await _show(request, visitor, page, Filled())


async def _send(request: Request, visitor: Visitor) -> Response:
    page = _asked(request)
    if page is None:
        return _absent(request, visitor)
    form = await form_of(request)
    filled = read(page.operation, [(name, str(value)) for name, value in form.multi_items()])
    if filled.problems:
        return await _show(request, visitor, page, filled)
    return await _show(request, visitor, page, filled, sent=await _made_request(visitor, page, filled.members))


async def _form(request: Request, visitor: Visitor) -> Response:
    """The form with what is known by now: carried over from another answer, or with more rows."""
    form = await form_of(request)
    page = _asked(request) or PAGES.get(str(form.get("operation", "")))
    if page is None:
        return _absent(request, visitor)
    if "members" in form:
        return await _show(request, visitor, page, _carried(page, str(form["members"])))
    filled = read(page.operation, [(name, str(value)) for name, value in form.multi_items()])
    return await _show(request, visitor, page, filled, spare=_MORE_ROWS)


def _carried(page: Page, text: str) -> Filled:
    """What another page's button carries, as far as this operation takes it."""
    try:
        members = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        members = {}
    taken = {field.name for field in page.request}
    return Filled({name: value for name, value in members.items() if name in taken})


async def _example(request: Request, visitor: Visitor) -> Response:
    """Make what the example needs, and fill the form with it; and send it, if that was asked for."""
    page = _asked(request)
    if page is None:
        return _absent(request, visitor)
    made: list[_Made] = []
    going = steps(page.example, visitor.region)
    try:
        operation, members = next(going)
        while True:
            outcome = await visitor.call(operation, members)
            if not outcome.ok:
                failed = _told(operation, outcome, {})
                return await _show(request, visitor, page, Filled(), made=made, failed=failed)
            why = page.example.needs[len(made)].why
            made.append(_Made(operation, why, _key_in(outcome.members) or _key_in(members)))
            operation, members = going.send(outcome.members)
    except StopIteration as done:
        filled = Filled(done.value, dict.fromkeys(("m.Plaintext", "m.Message"), "text"))
    sent = None
    if "send" in await form_of(request):
        sent = await _made_request(visitor, page, filled.members)
    return await _show(request, visitor, page, filled, made=made, sent=sent)


async def _made_request(visitor: Visitor, page: Page, members: Members) -> _Sent:
    return _told(page.operation, await visitor.call(page.operation, members), members)


def _told(operation: str, outcome: Outcome, members: Members) -> _Sent:
    answer = outcome.members if outcome.ok else {}
    key = _key_in(answer)
    following = [
        _Next(follower, _json(carried(follower, members, answer)))
        for follower in followers(operation)
        if answer.get(follower.carries) is not None
    ]
    return _Sent(
        outcome=outcome,
        request=_raw("POST / HTTP/1.1", outcome.headers, outcome.body),
        answer=_raw(f"HTTP/1.1 {outcome.status}", outcome.answer_headers, outcome.answer),
        members=tuple(_members(operation, answer)),
        meaning=MEANINGS.get(outcome.code, ""),
        declared=any(outcome.code == code for code, _ in PAGES[operation].errors) or outcome.code in COMMON,
        following=tuple(following),
        key=key,
        key_members=_json({"KeyId": key, "TargetKeyId": key}),
    )


def _raw(start: str, headers: list[tuple[str, str]], body: bytes) -> str:
    lines = [f"{name}: {'(that of your session)' if name in _UNSHOWN else value}" for name, value in headers]
    return "\n".join([start, *lines, "", body.decode("utf-8", "replace")])


def _members(operation: str, answer: Members) -> Iterator[_Member]:
    kinds = {field.name: field.kind for field in PAGES[operation].response}
    for name, value in answer.items():
        if kinds.get(name) == "blob":
            yield _Member(name, str(value), _text_in(str(value)))
        elif isinstance(value, str):
            yield _Member(name, value)
        else:
            yield _Member(name, msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _text_in(base64: str) -> str:
    try:
        text = b64decode(base64).decode()
    except ValueError:
        return ""
    return text if text.isprintable() else ""


def _key_in(members: Members) -> str:
    """The key that members are about, if any."""
    for inner in (members.get("KeyMetadata"), members.get("ReplicaKeyMetadata")):
        if isinstance(inner, dict):
            return str(inner.get("Arn", ""))
    return str(members.get("KeyId") or members.get("TargetKeyId") or "")


async def _show(
    request: Request,
    visitor: Visitor,
    page: Page,
    filled: Filled,
    *,
    sent: _Sent | None = None,
    failed: _Sent | None = None,
    made: list[_Made] | None = None,
    spare: int = _SPARE_ROWS,
) -> Response:
    form = controls(page.operation, filled, spare)
    keys, aliases = await _names(visitor, form)
    about = filled.members or page.example.members
    place = (visitor.endpoint, visitor.region)
    written = (("boto3", boto3_program), ("AWS CLI", cli_command), ("curl", curl_command))
    return render(
        request,
        visitor,
        "explorer/operation.html",
        page=page,
        form=form,
        problems=filled.problems,
        sent=sent,
        failed=failed,
        made=made or [],
        keys=keys,
        aliases=aliases,
        common=COMMON,
        about_keys=about_keys(),
        example=_pretty(page.example.members),
        snippets=[(name, write(page.operation, about, *place)) for name, write in written],
        of_example=not filled.members and bool(page.example.needs),
    )


def _json(members: Members) -> str:
    return msgspec.json.encode(members).decode()


def _pretty(members: Members) -> str:
    return msgspec.json.format(msgspec.json.encode(members), indent=2).decode()


async def _names(visitor: Visitor, form: tuple[Control, ...]) -> tuple[list[str], list[str]]:
    """What the pickers of keys and aliases offer: a first page of each, as far as the visitor may list them."""
    widgets = {control.widget for control in form}
    keys: list[str] = []
    aliases: list[str] = []
    if "key" in widgets:
        outcome = await visitor.call("ListKeys", {"Limit": _PICKED})
        keys = [key["KeyId"] for key in outcome.members.get("Keys", ())]
    if widgets & {"key", "alias"}:
        outcome = await visitor.call("ListAliases", {"Limit": _PICKED})
        aliases = [alias["AliasName"] for alias in outcome.members.get("Aliases", ())]
    return keys, aliases


def _asked(request: Request) -> Page | None:
    return PAGES.get(request.path_params.get("operation", ""))


def _absent(request: Request, visitor: Visitor) -> Response:
    text = "There is no operation of that name."
    return render(request, visitor, "problem.html", status=404, title="Not here", text=text)


ROUTES: Final = [
    get("/api", _index),
    post("/api/form", _form),
    get("/api/{operation}", _page),
    post("/api/{operation}", _send),
    post("/api/{operation}/form", _form),
    post("/api/{operation}/example", _example),
]
