# SPDX-License-Identifier: Apache-2.0
"""The pages about keys: finding one, all that one key is and can do next, making one, and what cannot be undone. They
decide nothing: what a button stands for is asked for as whoever is signed in, and may be refused."""

from typing import Final

from starlette.routing import BaseRoute

from keyquorum.console.keys import acts, create, deletion, importing, listing, page, policy
from keyquorum.console.keys.listing import pending

__all__ = ["ROUTES", "pending"]

#: ``create`` before what takes any ID in its place.
ROUTES: Final[list[BaseRoute]] = [
    *listing.ROUTES,
    *create.ROUTES,
    *page.ROUTES,
    *policy.ROUTES,
    *deletion.ROUTES,
    *importing.ROUTES,
    *acts.ROUTES,
]
