# SPDX-License-Identifier: Apache-2.0
"""``keyquorum iam``: every IAM operation as a command, named and told as the AWS CLI does. What there is comes from the
service model; the request is checked by whoever answers it, a server or, offline, this program itself."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from keyquorum.cli.common import Configured, data_options, fail
from keyquorum.cli.explain import explain
from keyquorum.cli.place import Place

if TYPE_CHECKING:
    from keyquorum.api import Member, OperationShape

_OWN_KEY = "CreateAccessKey"


class _Operation(click.Command):
    """Several values may follow one option, as with the AWS CLI: ``--tags Key=a,Value=1 Key=b,Value=2``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        lists = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        current, first = "", False
        for arg in args:
            if arg.startswith("--"):
                current, first = arg, True
            elif current in lists and not first:
                spread.append(current)
            else:
                first = False
            spread.append(arg)
        return super().parse_args(ctx, spread)


class _Operations(click.Group):
    """The commands that are defined, and one for each operation of the model."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_operations()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        defined = super().get_command(ctx, cmd_name)
        name = None if defined else _operations().get(cmd_name)
        return _command(cmd_name, name) if name else defined


def _operations() -> dict[str, str]:
    from keyquorum.cli.values import dashed
    from keyquorum.iam_api import OPERATIONS

    return {dashed(name): name for name in OPERATIONS}


def _command(dashed_name: str, name: str) -> click.Command:
    from keyquorum.iam_api import CONSTRAINTS, OPERATIONS

    shape = OPERATIONS[name]
    members = CONSTRAINTS.get(shape.request, ())
    params: list[click.Parameter] = [_option(member) for member in members]
    if name == _OWN_KEY:
        text = "Make the secret here and send the public key alone: the server never has the secret. Signs with SigV4A."
        params.append(click.Option(["--public-key-only"], is_flag=True, help=text))
    return _Operation(
        dashed_name,
        params=params,
        callback=click.pass_obj(_runner(name, shape, members)),
        help=f"{name} of AWS IAM; the IAM API reference tells what it does.",
        short_help=name,
    )


def _option(member: "Member") -> click.Option:
    from keyquorum.cli.values import dashed

    flag, kind = f"--{dashed(member.attribute)}", member.constraint.kind
    if kind == "boolean":
        return click.Option([f"{flag}/--no-{flag[2:]}", member.attribute], default=None, required=member.required)
    return click.Option(
        [flag, member.attribute],
        required=member.required,
        multiple=kind == "list",
        type=int if kind == "integer" else str,
        metavar={"integer": "NUMBER", "list": "VALUE..."}.get(kind, "TEXT"),
    )


def _runner(name: str, shape: "OperationShape", members: tuple["Member", ...]) -> Callable[..., None]:
    def run(place: Place, public_key_only: bool = False, **given: Any) -> None:
        from keyquorum.admin import client
        from keyquorum.cli.values import ValueProblem, read

        secret = None
        try:
            present = {m: given[m.attribute] for m in members if given[m.attribute] not in (None, ())}
            values = {member.attribute: read(member.constraint, value) for member, value in present.items()}
            if public_key_only:
                values["access_key_id"], secret, values["public_key"] = client.own_access_key()
            with place.opened() as send:
                answer = client.every_page(name, shape.request(**values), send)
        except client.Refused as error:
            fail(error, 1)
        except (ValueProblem, client.ClientError) as error:
            fail(error)
        if secret is not None:
            answer["AccessKey"]["SecretAccessKey"] = secret
        if answer:
            click.echo(json.dumps(answer, indent=4))

    return run


@click.group(cls=_Operations)
@click.option("--offline", is_flag=True, help="Without a server: as the account's root, on the data directory itself.")
@data_options
@click.option("--account", default=None, help="With --offline: the account.  [default: the server's own]")
@click.pass_context
def iam(ctx: click.Context, configured: Configured, offline: bool, account: str | None) -> None:
    """Users, groups, roles, policies: the operations of AWS IAM, as the AWS CLI has them.

    Endpoint and credentials are those of the environment, as `keyquorum env` prints them.
    """
    ctx.obj = Place(offline, configured, account)


iam.add_command(explain)
