# SPDX-License-Identifier: Apache-2.0
"""From a web identity token to its caller: the one request that nobody signs, because its token is the proof.

Whom the token is about may do nothing by that alone: which role may be assumed is the role's trust policy's to say.
"""

from typing import Final

from keyquorum import jwks
from keyquorum.authn import web_identity
from keyquorum.errors import InvalidIdentityTokenException, ValidationException
from keyquorum.jwks import KeySetError, KeySets
from keyquorum.model import WEB_IDENTITY, Caller, OIDCProvider, Session
from keyquorum.store.store import Store

_ROLE: Final = "arn:aws:iam::"


class Federation:
    """``region`` is the Region of its callers, whose requests name none."""

    def __init__(self, store: Store, key_sets: KeySets, region: str) -> None:
        self._store = store
        self._key_sets = key_sets
        self._region = region

    def authenticate(self, role_arn: str, text: str, now: float) -> Caller:
        """Whom the token is about, if it comes from a provider that the role's account trusts. It may wait, for the
        database and for the provider.

        Raises as ``web_identity`` does, ValidationException and IDPCommunicationErrorException.
        """
        token = web_identity.read(text)
        account = role_arn.removeprefix(_ROLE).partition(":")[0]
        if not role_arn.startswith(_ROLE):
            raise ValidationException("Request ARN is invalid")
        provider = self._provider(account, token.issuer)
        if provider is None:
            raise InvalidIdentityTokenException(
                f"No OpenIDConnect provider found in your account for {token.issuer[:255]}"
            )
        web_identity.verify(token, self._keys(provider, token))
        who = web_identity.identity(token, provider.client_ids, now)
        name = f"{provider.arn}:{who.audience}:{who.subject}"
        session = Session(
            "",
            who.issued_at,
            who.expires_at,
            tags=who.tags,
            transitive=who.transitive,
            source_identity=who.source_identity,
            federated=provider.arn,
            web_user=who.subject,
            claims=web_identity.condition_keys(provider.url, who),
        )
        return Caller(account, self._region, name, name, WEB_IDENTITY, session=session)

    def _provider(self, account: str, issuer: str) -> OIDCProvider | None:
        url = jwks.without_scheme(issuer)
        if url is None:
            return None
        with self._store.database.read() as connection:
            return self._store.providers.load(connection, account, url)

    def _keys(self, provider: OIDCProvider, token: web_identity.Token) -> jwks.Keys:
        if provider.jwks is None:
            return self._key_sets.get(token.issuer, token.key_id)
        try:
            return jwks.parse(provider.jwks)
        except KeySetError:
            raise web_identity.no_key() from None
