# SPDX-License-Identifier: Apache-2.0
"""All pages of the console. To add one, write its module and add its routes here."""

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from keyquorum.console import access, audit, explorer, explorer_made, front, keys, signin, status
from keyquorum.console.gateway import Gateway
from keyquorum.console.site import app_of

_ROUTES: Final[Sequence[BaseRoute]] = (
    *signin.ROUTES,
    *explorer_made.ROUTES,
    *explorer.ROUTES,
    *front.ROUTES,
    *keys.ROUTES,
    *access.ROUTES,
    *audit.ROUTES,
    *status.ROUTES,
)


def console_of(gateway: Gateway) -> ASGIApp:
    """The console, to be mounted at /console."""
    return app_of(gateway, _ROUTES)
