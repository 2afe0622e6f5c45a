# SPDX-License-Identifier: Apache-2.0
"""OpenID Connect providers: CreateOpenIDConnectProvider, GetOpenIDConnectProvider, DeleteOpenIDConnectProvider,
ListOpenIDConnectProviders, AddClientIDToOpenIDConnectProvider, RemoveClientIDFromOpenIDConnectProvider,
UpdateOpenIDConnectProviderThumbprint, and their tags.

A provider is known by its URL, which is kept as it was given but for the scheme. Thumbprints are kept and shown; they
are never fetched, and nothing is decided by them.
"""

import re
from typing import Any, Final

from keyquorum import iam_api, jwks
from keyquorum.errors import (
    EntityAlreadyExistsException,
    InvalidInputException,
    NoSuchEntityException,
    ValidationException,
)
from keyquorum.model import OIDCProvider
from keyquorum.ops.iam.about import Subject, changing, making, on_all, reading
from keyquorum.ops.iam.rules import check_quota, connected, shown_tags, tagged, tags_page, untagged
from keyquorum.ops.operation import Call, Keys

# What a trust policy can name; without a query and a fragment (IAM API reference, CreateOpenIDConnectProvider).
_URL: Final = re.compile(r"https://([A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9_+=,.@:/-]*)?)", re.ASCII)
_ARN: Final = re.compile(r"arn:aws:iam::([0-9]{12}):oidc-provider/(.+)", re.ASCII)
_THUMBPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}", re.ASCII)
_MOST_THUMBPRINTS: Final = 5
_CLIENT_IDS: Final = "client_ids_per_open_id_connect_provider"
_TAGS: Final = "tags_per_open_id_connect_provider"


def _url(request: iam_api.CreateOpenIDConnectProviderRequest) -> str:
    match = _URL.fullmatch(str(request.url))
    if match is None:
        raise ValidationException("Invalid Open ID Connect Provider URL")
    return match[1]


def _on_new(call: Call, request: iam_api.CreateOpenIDConnectProviderRequest) -> tuple[Subject, ...]:
    arn = f"arn:aws:iam::{call.caller.account}:oidc-provider/{_url(request)}"
    return (Subject(arn, arn),)


def _on_provider(call: Call, request: Any) -> tuple[Subject, ...]:
    arn = str(request.open_id_connect_provider_arn)
    found = _find(call, arn)
    return (Subject(arn, arn, () if found is None else found.tags),)


def _find(call: Call, arn: str) -> OIDCProvider | None:
    """The account's provider of this ARN; raises ValidationException for what is no ARN of one."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise ValidationException("Invalid ARN:  Could not be parsed!")
    account, url = match.groups()
    if account != call.caller.account:
        return None
    with connected(call) as connection:
        return call.services.store.providers.load(connection, account, url)


def _load(call: Call, request: Any) -> OIDCProvider:
    arn = str(request.open_id_connect_provider_arn)
    found = _find(call, arn)
    if found is None:
        raise NoSuchEntityException(f"OpenIDConnect Provider not found for arn {arn}")
    return found


def _thumbprints(given: list[str] | None) -> tuple[str, ...]:
    thumbprints = tuple(given or ())
    if len(thumbprints) > _MOST_THUMBPRINTS:
        raise InvalidInputException("Thumbprint list must contain fewer than 5 entries.")
    if not all(map(_THUMBPRINT.fullmatch, thumbprints)):
        raise InvalidInputException("A thumbprint is the SHA-1 of a certificate, as 40 hexadecimal digits.")
    return thumbprints


def _key_set(text: str | None) -> str | None:
    if text is not None:
        try:
            jwks.parse(text)
        except jwks.KeySetError as fault:
            raise InvalidInputException("JWKS is not a JSON Web Key Set.", detail=str(fault)) from None
    return text


def _create(
    call: Call, request: iam_api.CreateOpenIDConnectProviderRequest, _keys: Keys
) -> iam_api.CreateOpenIDConnectProviderResponse:
    providers, txn, account = call.services.store.providers, call.write(), call.caller.account
    url = _url(request)
    client_ids = tuple(dict.fromkeys(request.client_id_list or ()))
    check_quota(call, _CLIENT_IDS, len(client_ids))
    provider = OIDCProvider(
        account=account,
        url=url,
        client_ids=client_ids,
        thumbprints=_thumbprints(request.thumbprint_list),
        jwks=_key_set(request.jwks),
        created_at=call.now,
        tags=tagged(call, _TAGS, (), request.tags, by_case=True),
    )
    if providers.load(txn.connection, account, url) is not None:
        raise EntityAlreadyExistsException(f"Provider with url {request.url} already exists.")
    count = len(providers.all(txn.connection, account)) + 1
    check_quota(call, "open_id_connect_providers_per_account", count)
    providers.insert(txn, provider)
    return iam_api.CreateOpenIDConnectProviderResponse(
        open_id_connect_provider_arn=provider.arn, tags=shown_tags(provider.tags) or None
    )


def _get(
    call: Call, request: iam_api.GetOpenIDConnectProviderRequest, _keys: Keys
) -> iam_api.GetOpenIDConnectProviderResponse:
    found = _load(call, request)
    return iam_api.GetOpenIDConnectProviderResponse(
        url=found.url,
        client_id_list=list(found.client_ids),
        thumbprint_list=list(found.thumbprints),
        create_date=found.created_at,
        tags=shown_tags(found.tags) or None,
    )


def _delete(call: Call, request: iam_api.DeleteOpenIDConnectProviderRequest, _keys: Keys) -> None:
    """One that is not there is no error (IAM API reference, DeleteOpenIDConnectProvider)."""
    found = _find(call, str(request.open_id_connect_provider_arn))
    if found is not None:
        call.services.store.providers.delete(call.write(), found)


def _list(
    call: Call, _request: iam_api.ListOpenIDConnectProvidersRequest, _keys: Keys
) -> iam_api.ListOpenIDConnectProvidersResponse:
    with connected(call) as connection:
        found = call.services.store.providers.all(connection, call.caller.account)
    return iam_api.ListOpenIDConnectProvidersResponse(
        open_id_connect_provider_list=[iam_api.OpenIDConnectProviderListEntry(arn=provider.arn) for provider in found]
    )


def _change(call: Call, found: OIDCProvider, **changes: Any) -> None:
    call.services.store.providers.update(call.write(), found, **changes)


def _add_client(call: Call, request: iam_api.AddClientIDToOpenIDConnectProviderRequest, _keys: Keys) -> None:
    found = _load(call, request)
    client_ids = tuple(dict.fromkeys((*found.client_ids, str(request.client_id))))
    check_quota(call, _CLIENT_IDS, len(client_ids))
    _change(call, found, client_ids=client_ids)


def _remove_client(call: Call, request: iam_api.RemoveClientIDFromOpenIDConnectProviderRequest, _keys: Keys) -> None:
    found = _load(call, request)
    _change(call, found, client_ids=tuple([one for one in found.client_ids if one != request.client_id]))


def _replace_thumbprints(
    call: Call, request: iam_api.UpdateOpenIDConnectProviderThumbprintRequest, _keys: Keys
) -> None:
    _change(call, _load(call, request), thumbprints=_thumbprints(request.thumbprint_list))


def _tag(call: Call, request: iam_api.TagOpenIDConnectProviderRequest, _keys: Keys) -> None:
    found = _load(call, request)
    _change(call, found, tags=tagged(call, _TAGS, found.tags, request.tags, by_case=True))


def _untag(call: Call, request: iam_api.UntagOpenIDConnectProviderRequest, _keys: Keys) -> None:
    found = _load(call, request)
    _change(call, found, tags=untagged(found.tags, request.tag_keys, by_case=True))


def _list_tags(call: Call, request: iam_api.ListOpenIDConnectProviderTagsRequest, _keys: Keys) -> Any:
    found = _load(call, request)
    return tags_page(call, "ListOpenIDConnectProviderTags", request, found.arn, found.tags)


OPERATIONS = (
    making("CreateOpenIDConnectProvider", _create, _on_new),
    reading("GetOpenIDConnectProvider", _get, _on_provider),
    changing("DeleteOpenIDConnectProvider", _delete, _on_provider),
    reading("ListOpenIDConnectProviders", _list, on_all("oidc-provider")),
    changing("AddClientIDToOpenIDConnectProvider", _add_client, _on_provider),
    changing("RemoveClientIDFromOpenIDConnectProvider", _remove_client, _on_provider),
    changing("UpdateOpenIDConnectProviderThumbprint", _replace_thumbprints, _on_provider),
    changing("TagOpenIDConnectProvider", _tag, _on_provider),
    changing("UntagOpenIDConnectProvider", _untag, _on_provider),
    reading("ListOpenIDConnectProviderTags", _list_tags, _on_provider),
)
