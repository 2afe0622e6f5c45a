# SPDX-License-Identifier: Apache-2.0
"""Asking a service about keys, and holding everything that can be seen of them against the model."""

from collections.abc import Callable
from typing import Any

from direct import Direct, Told
from lives_model import (
    DELETION,
    ENABLED,
    IMPORT,
    NOT_FOUND,
    REGIONS,
    REPLICAS,
    UNSUPPORTED,
    Family,
    Material,
    Place,
    World,
)
from regions import ask

SLACK = 600
"""Seconds by which time is moved on beside whole days: more than a run takes, so that what comes due on the very
second of a step is due for the server as for the model."""


class Sight:
    kms: Direct
    world: World

    # -- asking

    def tell(self, region: str, operation: str, **members: Any) -> Told:
        return ask(self.kms, region, operation, **members)

    def same(self, told: Told, expected: str | None) -> bool:
        assert told.code == expected, (told.code, told.message, expected)
        return expected is None

    def change(
        self, operation: str, family: Family, region: str, expect: Callable[[], str | None], **members: Any
    ) -> Told | None:
        """The operation on the key in the Region; its answer if it succeeds. ``expect`` is for a key that is there."""
        expected = expect() if region in family.places else NOT_FOUND
        told = self.tell(region, operation, KeyId=family.key_id, **members)
        return told if self.same(told, expected) else None

    def identify(self, family: Family, material: Material, told: str | None) -> None:
        """Learn a material's ID, or check it."""
        if told is None:
            return
        if material.id is None:
            assert told not in {other.id for other in family.materials}
            material.id = told
        assert material.id == told

    # -- looking

    def look_at(self, family: Family) -> None:
        for region in REGIONS:
            told = self.change("DescribeKey", family, region, lambda: None)
            if told:
                self.look_closely(family, region, family.places[region], told.body["KeyMetadata"])

    def look_closely(self, family: Family, region: str, place: Place, shown: dict[str, Any]) -> None:
        assert (shown["KeyId"], shown["KeyState"]) == (family.key_id, place.state)
        assert (shown["Enabled"], shown["Description"]) == (place.state == ENABLED, place.description)
        assert ("DeletionDate" in shown) == (place.state == DELETION)
        assert shown.get("PendingDeletionWindowInDays") == (place.window if place.state == REPLICAS else None)
        assert shown["MultiRegion"] == family.multi
        if family.multi:
            configuration = shown["MultiRegionConfiguration"]
            assert configuration["MultiRegionKeyType"] == ("PRIMARY" if region == family.primary else "REPLICA")
            assert configuration["PrimaryKey"]["Region"] == family.primary
            replicas = {replica["Region"] for replica in configuration["ReplicaKeys"]}
            assert replicas == set(family.places) - {family.primary}
        if family.external:
            complete = family.complete(place)
            assert complete or place.state in (IMPORT, DELETION, REPLICAS)
            expiring = any(place.imported.get(material) is not None for material in family.materials if material.own)
            model = "KEY_MATERIAL_EXPIRES" if expiring else "KEY_MATERIAL_DOES_NOT_EXPIRE"
            if complete or place.state == IMPORT:
                assert shown.get("ExpirationModel") == (model if complete else None)
                assert ("ValidTo" in shown) == (complete and expiring)

        def listed(operation: str, result: str, **members: Any) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = self.tell(region, operation, KeyId=family.key_id, **members).body[result]
            return found

        tags = listed("ListResourceTags", "Tags")
        assert {tag["TagKey"]: tag["TagValue"] for tag in tags} == place.tags
        aliases = {alias["AliasName"] for alias in listed("ListAliases", "Aliases")}
        assert aliases == {
            name for (where, name), one in self.world.aliases.items() if (where, one) == (region, family)
        }
        grants = {grant["GrantId"]: grant.get("Name") for grant in listed("ListGrants", "Grants")}
        assert grants == place.grants
        policy = self.tell(region, "GetKeyPolicy", KeyId=family.key_id).body["Policy"]
        assert place.policy in (None, policy)
        last = self.tell(region, "GetKeyLastUsage", KeyId=family.key_id).body["KeyLastUsage"]
        assert last.get("Operation") == place.used
        self.look_at_rotation(family, region, place)

    def look_at_rotation(self, family: Family, region: str, place: Place) -> None:
        expected = None if family.symmetric else UNSUPPORTED
        told = self.tell(region, "GetKeyRotationStatus", KeyId=family.key_id)
        if self.same(told, UNSUPPORTED if place.state == IMPORT else expected):
            enabled = family.period is not None and place.state not in (DELETION, REPLICAS)
            assert told.body["KeyRotationEnabled"] == enabled
            assert told.body.get("RotationPeriodInDays") == (family.period if enabled else None)
            if enabled:
                assert family.next_rotation is not None
                date = family.next_rotation - self.world.now + self.kms.service.clock.now()
                assert abs(told.body["NextRotationDate"] - date) < SLACK
        everything = {"IncludeKeyMaterial": "ALL_KEY_MATERIAL"}
        told = self.tell(region, "ListKeyRotations", KeyId=family.key_id, **everything)
        if not self.same(told, expected):
            return
        shown = told.body["Rotations"]
        # Every Region knows every material, whether or not it was imported there.
        wanted = [(material.state, material.rotated) for material in family.materials]
        assert [(one["KeyMaterialState"], one.get("RotationType")) for one in shown] == wanted
        for one, material in zip(shown, family.materials, strict=True):
            self.identify(family, material, one["KeyMaterialId"])
            imported = "IMPORTED" if material in place.imported else "PENDING_IMPORT"
            assert one.get("ImportState") == (imported if family.external else None)
            assert ("ValidTo" in one) == (place.imported.get(material) is not None)
        rotations = self.tell(region, "ListKeyRotations", KeyId=family.key_id).body["Rotations"]
        assert [one["RotationType"] for one in rotations] == [how for _, how in wanted if how is not None]

    def look_at_lists(self) -> None:
        for region in REGIONS:
            keys = {key["KeyId"] for key in self.tell(region, "ListKeys").body["Keys"]}
            assert keys == {family.key_id for family in self.world.families if region in family.places}
            aliases = self.tell(region, "ListAliases").body["Aliases"]
            assert {alias["AliasName"]: alias["TargetKeyId"] for alias in aliases} == {
                name: family.key_id for (where, name), family in self.world.aliases.items() if where == region
            }
