# SPDX-License-Identifier: Apache-2.0
"""ConsoleLogin: who can sign a request may begin a session of the console. No operation of AWS's API, and no permission
of its own: the session may do what its principal may, and with temporary credentials no more than those.

The answer is a token that is good for one session, for as long as it takes to hand it over. Nobody signs in twice by
one request, since that has a nonce of ours, which is good once (docs/adr/0024).

The console asks for the other two with the session's own credentials: ConsoleSession, which uses up the token, before
a browser gets the session, and ConsoleLogout, which ends it. So the log tells when a session was begun and ended, and
by its access key ID what was done in between.
"""

import os
from typing import Final

import msgspec
from msgspec.structs import replace

from keyquorum import own_api
from keyquorum.errors import ValidationException
from keyquorum.keyring import Keyring
from keyquorum.model import ROOT, Session
from keyquorum.ops.operation import Call, Keys, Operation
from keyquorum.ops.rules import opened_text, root_of, sealed_text
from keyquorum.store import spent

_NONCE: Final = "console nonce"
_LOGIN: Final = "console login"

#: Seconds: to sign in with a nonce, to follow a link, and to work (root as long as GetSessionToken gives it).
NONCE_SECONDS: Final = 120.0
LINK_SECONDS: Final = 300.0
_SECONDS: Final = 8 * 3600.0
_SECONDS_OF_ROOT: Final = 3600.0


class Once(msgspec.Struct, frozen=True):
    """Something that is good once, until then (seconds since the epoch)."""

    token_id: str
    expires_at: float


class Login(msgspec.Struct, frozen=True):
    """Whose session may be begun, once."""

    once: Once
    account: str
    identity_id: str
    arn: str
    session: Session


def new_nonce(keyring: Keyring, now: float) -> str:
    return sealed_text(keyring, _NONCE, Once(_new_id(), now + NONCE_SECONDS))


def read_login(keyring: Keyring, token: str, now: float) -> Login | None:
    """What a token of ConsoleLogin stands for; None for one that is none, or has expired."""
    login = opened_text(keyring, _LOGIN, token, Login)
    return None if login is None or now >= login.once.expires_at else login


def _login(call: Call, request: own_api.ConsoleLoginRequest, _keys: Keys) -> own_api.ConsoleLoginResponse:
    keyring, caller = call.services.keyring, call.caller
    nonce = opened_text(keyring, _NONCE, request.nonce or "", Once)
    if nonce is None or call.now >= nonce.expires_at:
        raise ValidationException("The nonce is not one of this server's, or has expired.")
    if not spent.spend(call.write(), nonce.token_id, nonce.expires_at, call.now):
        raise ValidationException("The nonce was used already.")
    earlier = caller.session or Session("", call.now, call.now + _SECONDS)
    lasts = _SECONDS_OF_ROOT if caller.kind == ROOT else _SECONDS
    # A session that goes on in a browser stays as old as it is: who revoked it did so by aws:TokenIssueTime.
    session = replace(
        earlier,
        expires_at=min(earlier.expires_at, call.now + lasts),
        console=True,
        not_for_iam=not caller.is_for_iam,
    )
    identity_id = caller.identity_id or root_of(call, call.write().connection)
    once = Once(_new_id(), call.now + LINK_SECONDS)
    token = sealed_text(keyring, _LOGIN, Login(once, caller.account, identity_id, caller.arn, session))
    return own_api.ConsoleLoginResponse(token=token, expires_at=once.expires_at)


def _begin(call: Call, request: own_api.ConsoleSessionRequest, _keys: Keys) -> own_api.ConsoleSessionResponse:
    """Uses up the token that the caller's session was made by."""
    caller = call.caller
    login = read_login(call.services.keyring, request.token or "", call.now)
    if login is None or (login.arn, login.session) != (caller.arn, caller.session):
        raise ValidationException("The token is not this session's, or has expired.")
    if not spent.spend(call.write(), login.once.token_id, login.once.expires_at, call.now):
        raise ValidationException("The token was used already.")
    return own_api.ConsoleSessionResponse(expires_at=login.session.expires_at)


def _end(call: Call, _request: own_api.ConsoleLogoutRequest, _keys: Keys) -> own_api.ConsoleLogoutResponse:
    """Nobody goes on with this session in a browser, whoever has its cookie."""
    session = call.caller.session
    if session is None or not session.console:
        raise ValidationException("These are not the credentials of a session of the console.")
    spent.spend(call.write(), call.caller.access_key_id, session.expires_at, call.now)
    return own_api.ConsoleLogoutResponse()


def _new_id() -> str:
    return os.urandom(16).hex()


OPERATIONS: Final = (
    Operation(name="ConsoleLogin", run=_login, open=True, changes=True),
    Operation(name="ConsoleSession", run=_begin, open=True, changes=True),
    Operation(name="ConsoleLogout", run=_end, open=True, changes=True),
)
