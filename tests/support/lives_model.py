# SPDX-License-Identifier: Apache-2.0
"""What the lives of keys should be: slow, obvious, and written from AWS's documentation, not from the server.

A ``Family`` is a key in all its Regions, with what these share; a ``Place`` is the key in one of them. Methods return
the code of the error that AWS answers, or None and then the change is made. Times are nominal seconds from the start.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

DAY = 86_400
REGIONS = ("us-east-1", "eu-west-1")

ENABLED, DISABLED, IMPORT = "Enabled", "Disabled", "PendingImport"
DELETION, REPLICAS = "PendingDeletion", "PendingReplicaDeletion"

NOT_FOUND, UNSUPPORTED, INVALID_STATE = "NotFoundException", "UnsupportedOperationException", "KMSInvalidStateException"
EXISTS, INCORRECT = "AlreadyExistsException", "IncorrectKeyMaterialException"

CURRENT, NON_CURRENT = "CURRENT", "NON_CURRENT"
WAITS, WAITS_FOR_IMPORTS = "PENDING_ROTATION", "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"

# Kind of key -> what CreateKey is asked for.
KINDS: dict[str, dict[str, str | bool]] = {
    "symmetric": {},
    "external": {"Origin": "EXTERNAL"},
    "multi": {"MultiRegion": True},
    "multi external": {"MultiRegion": True, "Origin": "EXTERNAL"},
    "mac": {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    "multi external mac": {
        "KeySpec": "HMAC_256",
        "KeyUsage": "GENERATE_VERIFY_MAC",
        "MultiRegion": True,
        "Origin": "EXTERNAL",
    },
    "signing": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
}


def using(state: str) -> str | None:
    """Developer Guide, "Key states": operations that use key material, and others in the same rows."""
    return {ENABLED: None, DISABLED: "DisabledException"}.get(state, INVALID_STATE)


def changing(state: str) -> str | None:
    """The rows that refuse keys on their way out, and no others."""
    return INVALID_STATE if state in (DELETION, REPLICAS) else None


def switching(state: str) -> str | None:
    """EnableKey, DisableKey."""
    return None if state in (ENABLED, DISABLED) else INVALID_STATE


def turning(state: str) -> str | None:
    """EnableKeyRotation, DisableKeyRotation."""
    return UNSUPPORTED if state == IMPORT else using(state)


@dataclass(eq=False)
class Material:
    """``secret`` is the number of an imported material; ``id`` is unknown until the server has told it."""

    state: str
    secret: int | None = None
    id: str | None = None
    rotated: str | None = None

    @property
    def own(self) -> bool:
        """Whether it is permanently associated with the key."""
        return self.state in (CURRENT, NON_CURRENT)


@dataclass(eq=False)
class Place:
    state: str
    due: float | None = None
    window: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    policy: str | None = None
    grants: dict[str, str | None] = field(default_factory=dict)
    imported: dict[Material, float | None] = field(default_factory=dict)
    """Material -> when it expires; of keys with imported material only."""
    used: str | None = None


@dataclass(eq=False)
class Family:
    key_id: str
    kind: str
    primary: str
    places: dict[str, Place]
    materials: list[Material]
    period: int | None = None
    next_rotation: float | None = None
    on_demand: int = 0

    @property
    def external(self) -> bool:
        return "external" in self.kind

    @property
    def multi(self) -> bool:
        return "multi" in self.kind

    @property
    def usage(self) -> str:
        return str(KINDS[self.kind].get("KeyUsage", "ENCRYPT_DECRYPT"))

    @property
    def symmetric(self) -> bool:
        return self.usage == "ENCRYPT_DECRYPT"

    @property
    def current(self) -> Material:
        return next(material for material in self.materials if material.state == CURRENT)

    def complete(self, place: Place) -> bool:
        own = [material for material in self.materials if material.own]
        return not self.external or (bool(own) and all(material in place.imported for material in own))

    def settle(self) -> None:
        """What waits for a rotation waits for its import in every Region first."""
        for material in self.materials:
            if not material.own:
                everywhere = all(material in place.imported for place in self.places.values())
                material.state = WAITS if everywhere else WAITS_FOR_IMPORTS

    # -- states

    def enable(self, region: str) -> str | None:
        return self._switch(region, ENABLED)

    def disable(self, region: str) -> str | None:
        return self._switch(region, DISABLED)

    def _switch(self, region: str, state: str) -> str | None:
        error = switching(self.places[region].state)
        if error is None:
            self.places[region].state = state
        return error

    def schedule(self, region: str, days: int, now: float) -> str | None:
        place = self.places[region]
        error = changing(place.state)
        if error is None and region == self.primary and len(self.places) > 1:
            place.state, place.window = REPLICAS, days
        elif error is None:
            place.state, place.due = DELETION, now + days * DAY
        return error

    def cancel(self, region: str) -> str | None:
        place = self.places[region]
        if place.state not in (DELETION, REPLICAS):
            return INVALID_STATE
        place.state = DISABLED if self.complete(place) else IMPORT
        place.due = place.window = None
        return None

    # -- key material

    def bring(self, region: str, secret: int, import_type: str | None, expires: float | None) -> str | None:
        """ImportKeyMaterial."""
        place = self.places[region]
        if not self.external:
            return UNSUPPORTED
        if error := changing(place.state):
            return error
        if import_type is not None and not self.symmetric:
            return UNSUPPORTED
        known = next((material for material in self.materials if material.secret == secret), None)
        if (import_type or ("EXISTING_KEY_MATERIAL" if self.materials else "NEW_KEY_MATERIAL")) == "NEW_KEY_MATERIAL":
            if region != self.primary:
                return UNSUPPORTED
            if known is not None:
                return INCORRECT
            if any(not material.own for material in self.materials):
                return INVALID_STATE
            known = Material(WAITS if self.materials else CURRENT, secret)
            self.materials.append(known)
        elif known is None:
            return INCORRECT
        place.imported[known] = expires
        self.settle()
        if place.state == IMPORT and self.complete(place):
            place.state = ENABLED
        return None

    def take(self, region: str, material: Material | None) -> str | None:
        """DeleteImportedKeyMaterial; without a material, of the current one."""
        if not self.external:
            return UNSUPPORTED
        if material is None:
            material = next((one for one in self.materials if one.state == CURRENT), None)
        if material is not None and material in self.places[region].imported:
            self.lose(region, material)
        return None

    def lose(self, region: str, material: Material) -> None:
        place = self.places[region]
        del place.imported[material]
        if material.own:
            if place.state not in (DELETION, REPLICAS):
                place.state = IMPORT
            return
        if region == self.primary:
            self.materials.remove(material)
            for other in self.places.values():
                other.imported.pop(material, None)
        self.settle()

    # -- rotation

    def turn(self, region: str, period: int | None, now: float) -> str | None:
        """EnableKeyRotation, DisableKeyRotation."""
        if self.external:
            return UNSUPPORTED
        if error := turning(self.places[region].state):
            return error
        if not self.symmetric or region != self.primary:
            return UNSUPPORTED
        self.period = period
        self.next_rotation = None if period is None else now + period * DAY
        return None

    def rotate_on_demand(self, region: str) -> str | None:
        if error := using(self.places[region].state):
            return error
        if not self.symmetric or region != self.primary:
            return UNSUPPORTED
        if self.on_demand == 25:
            return "LimitExceededException"
        if self.external and not any(material.state == WAITS for material in self.materials):
            return INVALID_STATE
        self.rotate("ON_DEMAND")
        self.on_demand += 1
        return None

    def rotate(self, how: str) -> None:
        coming = next((one for one in self.materials if one.state == WAITS), None)
        if coming is None:
            coming = Material(WAITS)
            self.materials.append(coming)
        self.current.state = NON_CURRENT
        coming.state, coming.rotated = CURRENT, how

    # -- Regions

    def replicate(self, region: str, to: str) -> str | None:
        if not self.multi or region != self.primary:
            return UNSUPPORTED
        if error := using(self.places[region].state):
            return error
        if to in self.places:
            return EXISTS
        self.places[to] = Place(IMPORT if self.external else ENABLED)
        self.settle()
        return None

    def update_primary(self, region: str, to: str) -> str | None:
        if not self.multi or region != self.primary:
            return UNSUPPORTED
        if error := using(self.places[region].state):
            return error
        if to == region:
            return UNSUPPORTED
        if to not in self.places:
            return NOT_FOUND
        if error := using(self.places[to].state):
            return error
        self.primary = to
        return None


class World:
    """All keys and aliases, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.families: list[Family] = []
        self.aliases: dict[tuple[str, str], Family] = {}

    def create(self, key_id: str, kind: str, region: str) -> Family:
        place = Place(IMPORT if "external" in kind else ENABLED)
        materials = [] if "external" in kind else [Material(CURRENT)]
        self.families.append(Family(key_id, kind, region, {region: place}, materials))
        return self.families[-1]

    def advance(self, seconds: float) -> None:
        """Whatever comes due on the way happens at its date, and in order."""
        target = self.now + seconds
        while events := [event for event in self._events() if event[0] <= target]:
            due, what, family, region, material = min(events, key=lambda event: event[0])
            self.now = max(self.now, due)
            if what == "expiry":
                assert material is not None
                family.lose(region, material)
            elif what == "rotation":
                self.rotate_overdue(family)
            else:
                self._delete(family, region)
        self.now = target

    def rotate_overdue(self, family: Family) -> None:
        """The automatic rotation, if its date has come and the key is enabled."""
        due, period = family.next_rotation, family.period
        if due is None or period is None or due > self.now or family.places[family.primary].state != ENABLED:
            return
        family.rotate("AUTOMATIC")
        following = due + period * DAY
        family.next_rotation = following if following > self.now else self.now + period * DAY

    def _events(self) -> Iterator[tuple[float, str, Family, str, Material | None]]:
        for family in self.families:
            for region, place in family.places.items():
                if place.due is not None:
                    yield place.due, "deletion", family, region, None
                for material, expires in place.imported.items():
                    if expires is not None:
                        yield expires, "expiry", family, region, material
            primary = family.places.get(family.primary)
            if family.next_rotation is not None and primary is not None and primary.state == ENABLED:
                yield family.next_rotation, "rotation", family, family.primary, None

    def _delete(self, family: Family, region: str) -> None:
        del family.places[region]
        self.aliases = {
            place: named for place, named in self.aliases.items() if named is not family or place[0] != region
        }
        family.settle()
        primary = family.places.get(family.primary)
        if primary is not None and len(family.places) == 1 and primary.state == REPLICAS:
            assert primary.window is not None
            primary.state, primary.due, primary.window = DELETION, self.now + primary.window * DAY, None
