# SPDX-License-Identifier: Apache-2.0
"""``keyquorum iam explain``: why a principal may do something, or why not, in words or as JSON."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyquorum.cli.common import Configured, data_options, fail

if TYPE_CHECKING:
    from keyquorum.explain.explanation import Explanation, Part

_Pairs = tuple[tuple[str, str], ...]


def _pair(_ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> _Pairs:
    for text in texts:
        if "=" not in text:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
    return tuple([(text.partition("=")[0], text.partition("=")[2]) for text in texts])


@click.command()
@click.option("--principal", required=True, metavar="ARN", help="Who: a root, a user, a role, a session of a role.")
@click.option("--action", required=True, help="The permission, such as kms:Decrypt.")
@click.option("--resource", default=None, help="What on: a key or an alias, by ID, name or ARN; an identity's ARN.")
@click.option("--encryption-context", multiple=True, callback=_pair, metavar="KEY=VALUE", help="May be repeated.")
@click.option(
    "--context",
    multiple=True,
    callback=_pair,
    metavar="KEY=VALUE",
    help="A condition key, such as aws:SourceIp=192.0.2.7; repeated, several or a key's several values.",
)
@click.option(
    "--session-policy",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with a policy passed to the role's session; may be repeated.",
)
@click.option("--region", default=None, help="[default: the resource's, or the server's own]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@data_options
def explain(
    principal: str,
    action: str,
    resource: str | None,
    encryption_context: _Pairs,
    context: _Pairs,
    session_policy: tuple[Path, ...],
    region: str | None,
    as_json: bool,
    configured: Configured,
) -> None:
    """Say which statement of which policy decides, on the data directory as it is.

    Ends with 0 if it is allowed, with 1 if it is refused.
    """
    import msgspec

    from keyquorum.admin import offline
    from keyquorum.admin.client import ClientError
    from keyquorum.errors import IntegrityError, KMSError
    from keyquorum.explain import explaining

    values: dict[str, tuple[str, ...]] = {}
    for key, value in context:
        values[key] = (*values.get(key, ()), value)
    settings = configured.settings()
    assert settings.data is not None
    try:
        question = explaining.Question(
            principal=principal,
            action=action,
            resource=resource,
            region=region or _region_of(resource) or offline.place(settings.data)[1],
            encryption_context=dict(encryption_context) or None,
            context=values,
            session_policies=tuple([path.read_text(encoding="utf-8") for path in session_policy]),
        )
        with offline.reading(settings) as opened:
            told = explaining.explain(opened.store, question, time.time())
    except KMSError as error:
        fail(Exception(error.message or error.code))
    except (ClientError, IntegrityError, OSError, UnicodeDecodeError) as error:
        fail(error)
    click.echo(msgspec.json.format(msgspec.json.encode(told.shown()), indent=4) if as_json else _text(told))
    sys.exit(0 if told.allowed else 1)


def _region_of(resource: str | None) -> str | None:
    parts = (resource or "").split(":")
    return parts[3] if parts[:3] == ["arn", "aws", "kms"] and len(parts) > 3 else None


def _text(told: "Explanation") -> str:
    lines = [
        f"{'ALLOWED' if told.allowed else 'REFUSED'}: {told.action} on {told.resource}",
        f"  by {told.principal}",
        told.why,
    ]
    if told.part is not None:
        lines += [f"Decided by {_named(told.part)}", _indented(told.part.statement)]
    if told.grant_id is not None:
        lines.append(f"Decided by grant {told.grant_id}.")
    if told.let_in is not None:
        lines += [f"The account is let in by {_named(told.let_in)}", _indented(told.let_in.statement)]
    for part in told.nearly:
        lines += [f"Its resource or conditions do not fit: {_named(part)}", _indented(part.statement)]
        lines += [f"  This request's {key}: {_values(values)}" for key, values in part.has.items()]
    if told.message is not None:
        lines.append(f"AWS's answer: {told.message}")
    return "\n".join(lines)


def _named(part: "Part") -> str:
    sid = f' "{part.sid}"' if part.sid else ""
    return f"statement {part.index + 1}{sid} of {part.policy}:"


def _indented(statement: object) -> str:
    return "\n".join(f"    {line}" for line in json.dumps(statement, indent=2).splitlines())


def _values(values: tuple[str, ...] | None) -> str:
    return "absent" if not values else ", ".join(values)
