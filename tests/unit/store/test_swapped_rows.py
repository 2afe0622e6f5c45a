# SPDX-License-Identifier: Apache-2.0
"""Who can write to the database answers no question with a row that is genuine, and that was not asked for.

The means is a view of a table's name whose column says one thing to the search and another to the reader: the database
evaluates it for each of the two, so that the row of one name comes back, MAC and all, when another was asked for. (A
server does not start on either kind of database while there are views; but it may run when one is made.)
"""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import sqlalchemy as sa
from people import ADMIN, CLOSED, NOBODY, Inside, inside, naming
from servers import code_of
from stored import ACCOUNT, MAC, NOTHING, NOW, REGION, Filled, fill, managed_policy, of_kind, undone

from keyquorum.errors import IntegrityError
from keyquorum.model import GROUP, ROLE, USER, Principal
from keyquorum.store import schema
from keyquorum.store.conditions import after, among, containing, either, under
from keyquorum.store.engine import Database
from keyquorum.store.outbox import Outbox

pytestmark = pytest.mark.slow

OTHER: Final = "444455556666"
POLICY: Final = f"arn:aws:iam::{ACCOUNT}:policy"
ALICE, BOB = (f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in ("alice", "bob"))
#: How often a view is asked; it answers as was hoped one time in four.
TRIES: Final = 100


class Swap(NamedTuple):
    """The only row of ``table`` belongs to somebody else, and its ``column`` says ``lie`` half of the time.
    ``question`` is a method of the store, to which the row is no answer; ONE among what it is asked with is a key."""

    table: str
    column: str
    lie: str
    question: str
    asked: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.question} by {self.column}"


ONE: Final = object()
ROW: Final = {
    "principals": "principal_id = 'AIDAALICE'",
    "access_keys": "access_key_id = 'AKIAALICE'",
    "keys": "key_id = 'key-two'",
    "key_policies": "key_id = 'key-two'",
    "key_materials": "key_id = 'key-two'",
    "aliases": "name = 'alias/two'",
    "grants": "grant_id = 'grant-two'",
    "managed_policies": "name = 'two'",
    "oidc_providers": "url = 'two.example'",
}
ALL: Final = ("", 10)
QUESTIONS: Final[dict[str, list[tuple[str, str, str, tuple[Any, ...]]]]] = {
    "principals": [
        ("principal_id", "AIDAROOT", "identities.load", ("AIDAROOT",)),
        ("name", "bob", "identities.principal", (ACCOUNT, USER, "bob")),
        ("kind", ROLE, "identities.principal", (ACCOUNT, ROLE, "alice")),
        ("account", OTHER, "identities.principal", (OTHER, USER, "alice")),
        ("account", OTHER, "identities.page", (OTHER, USER, "/", *ALL)),
        ("kind", GROUP, "identities.page", (ACCOUNT, GROUP, "/", *ALL)),
        ("path", "/x/", "identities.page", (ACCOUNT, USER, "/x/", *ALL)),
        ("name", "zoe", "identities.page", (ACCOUNT, USER, "/", "bob", 10)),
        ("member_of", '["AGPAX"]', "identities.members", (ACCOUNT, "AGPAX")),
        ("account", OTHER, "identities.members", (OTHER, "AGPAALL")),
        ("attached", f'["{POLICY}/x"]', "identities.holders", (ACCOUNT, f"{POLICY}/x")),
        ("boundary", f"{POLICY}/x", "identities.holders", (ACCOUNT, f"{POLICY}/x")),
        ("account", OTHER, "identities.usage", (OTHER,)),
    ],
    "access_keys": [
        ("access_key_id", "AKIAROOT", "access_keys.load", ("AKIAROOT",)),
        ("principal_id", "AIDAROOT", "access_keys.of", ("AIDAROOT",)),
    ],
    "keys": [
        ("key_id", "key-one", "keys.load", ("key-one", REGION)),
        ("region", "eu-west-1", "keys.load", ("key-two", "eu-west-1")),
        ("key_id", "key-one", "keys.account_of", ("key-one", REGION)),
        ("key_id", "key-one", "keys.regions", ("key-one",)),
        ("account", OTHER, "keys.page", (OTHER, REGION, *ALL)),
        ("region", "eu-west-1", "keys.page", (ACCOUNT, "eu-west-1", *ALL)),
        ("key_id", "key-z", "keys.page", (ACCOUNT, REGION, "key-y", 10)),
    ],
    "key_policies": [("key_id", "key-one", "keys.policy", (ONE,))],
    "key_materials": [
        ("key_id", "key-one", "keys.materials.load", ("key-one", REGION)),
        ("region", "eu-west-1", "keys.materials.load", ("key-two", "eu-west-1")),
    ],
    "aliases": [
        ("name", "alias/one", "aliases.load", (ACCOUNT, REGION, "alias/one")),
        ("account", OTHER, "aliases.load", (OTHER, REGION, "alias/two")),
        ("region", "eu-west-1", "aliases.load", (ACCOUNT, "eu-west-1", "alias/two")),
        ("key_id", "key-one", "aliases.of_key", ("key-one", REGION)),
        ("key_id", "key-one", "aliases.page", (ACCOUNT, REGION, "key-one", *ALL)),
        ("account", OTHER, "aliases.page", (OTHER, REGION, None, *ALL)),
        ("name", "alias/z", "aliases.page", (ACCOUNT, REGION, None, "alias/y", 10)),
    ],
    "grants": [
        ("grant_id", "grant-one", "grants.load", ("grant-one",)),
        ("key_id", "key-one", "grants.to", (ONE, (ALICE,), "Decrypt")),
        ("key_id", "key-one", "grants.on_key", (ONE, *ALL)),
        ("key_id", "key-one", "grants.named", (ONE, "n", ALICE)),
        ("retiring", ALICE, "grants.retirable", (REGION, ALICE, None, *ALL)),
        ("issuing_account", OTHER, "grants.retirable", (REGION, BOB, OTHER, *ALL)),
        ("grant_id", "grant-z", "grants.retirable", (REGION, BOB, None, "grant-y", 10)),
    ],
    "managed_policies": [
        ("name", "one", "managed_policies.load", (f"{POLICY}/one",)),
        ("account", OTHER, "managed_policies.document", (f"arn:aws:iam::{OTHER}:policy/two",)),
        ("account", OTHER, "managed_policies.page", (OTHER, "/", *ALL)),
        ("path", "/x/", "managed_policies.page", (ACCOUNT, "/x/", *ALL)),
        ("name", "z", "managed_policies.page", (ACCOUNT, "/", "y", 10)),
    ],
    "oidc_providers": [
        ("url", "one.example", "providers.load", (ACCOUNT, "one.example")),
        ("account", OTHER, "providers.load", (OTHER, "two.example")),
        ("account", OTHER, "providers.all", (OTHER,)),
    ],
}
SWAPS: Final = [Swap(table, *question) for table, questions in QUESTIONS.items() for question in questions]


@pytest.fixture(params=["memory", "postgresql"], scope="module")
def everything(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with of_kind(request.param, tmp_path_factory.mktemp("store")) as opened:
        yield fill(opened)


@pytest.fixture
def filled(everything: Filled) -> Iterator[Filled]:
    with undone(everything) as found:
        yield found


#: So that foreign keys do not follow a table that is renamed; PostgreSQL's never do.
PRAGMA: Final = "PRAGMA legacy_alter_table=ON"
#: PostgreSQL evaluates what is volatile once; of this it is told that it is not.
FLIP: Final = """CREATE FUNCTION flip(a {0}, b {0}) RETURNS {0} IMMUTABLE LANGUAGE plpgsql
AS 'BEGIN IF random() < 0.5 THEN RETURN a; END IF; RETURN b; END'"""


def alter(opened: Database, *statements: str) -> None:
    """As the owner of the database."""
    with opened.write() as txn:
        for statement in statements if opened.shared else (PRAGMA, *statements):
            txn.connection.exec_driver_sql(statement)


def put_view(opened: Database, table: str, column: str, lie: str | int, row: str) -> None:
    """In the place of a table, a view of one row of it that says ``lie`` half of the time."""
    literal = lie if isinstance(lie, int) else f"'{lie}'"
    shown = {each.name: f'"{each.name}"' for each in schema.metadata.tables[table].columns}
    if opened.shared:
        shown[column] = f"flip({literal}, {column}) AS {column}"
        alter(opened, FLIP.format("int" if isinstance(lie, int) else "text"))
    else:
        shown[column] = f"CASE WHEN random() & 1 THEN {literal} ELSE {column} END AS {column}"
    alter(
        opened,
        f"ALTER TABLE {table} RENAME TO old_{table}",
        f"CREATE VIEW {table} AS SELECT {', '.join(shown.values())} FROM old_{table} WHERE {row}",
    )


def values_in(answer: Any) -> list[Any]:
    """What a question was answered with; nothing, if nothing was found."""
    if isinstance(answer, dict):
        answer = [value for value in answer.values() if value]
    elif isinstance(answer, tuple):
        answer = [value for value in answer if value]
    return answer if isinstance(answer, list) else [] if answer is None else [answer]


@pytest.mark.parametrize("swap", SWAPS, ids=str)
def test_a_row_is_no_answer_to_the_question_for_another(filled: Filled, swap: Swap) -> None:
    put_view(filled.store.database, swap.table, swap.column, swap.lie, ROW[swap.table])
    ask = attrgetter(swap.question)(filled.store)
    asked = [filled.one if value is ONE else value for value in swap.asked]
    answers, refusals = [], set()
    with filled.store.database.read() as connection:
        for _ in range(TRIES):
            try:
                answers += values_in(ask(connection, *asked))
            except IntegrityError as error:
                refusals.add(str(error))
    assert answers == []
    assert f"a row of {swap.table} was given for another" in refusals


def test_every_table_of_which_rows_are_asked_for_by_name_is_here() -> None:
    """Not the three of which nobody asks for one row; the outbox is asked for a writer's."""
    sealed = {name for name, table in schema.metadata.tables.items() if "mac" in table.columns}
    assert sealed - {"audit_outbox", "deleted_keys", "erasures"} == set(ROW) == set(QUESTIONS)


def test_a_record_of_another_writer_is_not_written(filled: Filled, caplog: pytest.LogCaptureFixture) -> None:
    outbox, opened = Outbox(MAC), filled.store.database
    with opened.write() as txn:
        outbox.add(txn, 0, 0, "a", b"{}")
    put_view(opened, "audit_outbox", "writer", 7, "writer = 0")
    with opened.read() as connection:
        assert [left for _ in range(TRIES) for left in outbox.waiting(connection, 7)] == []
    assert "of the audit outbox was tampered with and is not written" in caplog.text


def test_a_name_that_is_there_twice_is_nobodys(filled: Filled) -> None:
    """A table that has lost its constraints."""
    alter(
        filled.store.database,
        "CREATE TABLE loose AS SELECT * FROM grants UNION ALL SELECT * FROM grants",
        "ALTER TABLE grants RENAME TO old_grants",
        "ALTER TABLE loose RENAME TO grants",
    )
    with filled.store.database.read() as connection, pytest.raises(IntegrityError, match="is there twice"):
        filled.store.grants.load(connection, "grant-one")


def test_a_search_that_heeds_no_capitals_finds_nobody_else(filled: Filled) -> None:
    """Without any view: a column may be told to compare so."""
    rest = ", ".join(f'"{column.name}"' for column in schema.principals.columns if column.name != "principal_id")
    if filled.on_postgresql:
        alter(
            filled.store.database,
            "CREATE COLLATION heedless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            "ALTER TABLE principals ALTER principal_id TYPE text COLLATE heedless",
        )
    else:
        alter(
            filled.store.database,
            "ALTER TABLE principals RENAME TO old_principals",
            f"CREATE TABLE principals (principal_id TEXT COLLATE NOCASE, {rest})",
            f"INSERT INTO principals SELECT principal_id, {rest} FROM old_principals",
        )
    with filled.store.database.read() as connection:
        assert filled.store.identities.by_id(connection, "AIDAALICE") is not None
        with pytest.raises(IntegrityError, match="was given for another"):
            filled.store.identities.by_id(connection, "aidaalice")


# -- of a whole service


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as made:
        yield made


def forget(world: Inside) -> None:
    """What a restart, or time, does."""
    world.service.store.clear()
    world.service.authenticator.clear()


def test_an_access_key_speaks_for_nobody_else(world: Inside) -> None:
    store, sts = world.service.store, world.client("sts", NOBODY.access)
    assert sts.get_caller_identity()["Arn"] == NOBODY.arn
    with store.database.read() as connection:
        mine, theirs = (
            store.identities.principal(connection, person.account, USER, person.name) for person in (NOBODY, ADMIN)
        )
    assert mine is not None
    assert theirs is not None
    put_view(store.database, "principals", "principal_id", mine.principal_id, f"principal_id = '{theirs.principal_id}'")
    for _ in range(TRIES // 2):
        forget(world)
        assert code_of(sts.get_caller_identity) != ""


def test_a_key_goes_by_no_other_keys_policy(world: Inside) -> None:
    theirs, mine = world.key(CLOSED), world.key(naming(NOBODY))
    sealed = world.by(ADMIN).encrypt(KeyId=theirs, Plaintext=b"x")["CiphertextBlob"]
    put_view(
        world.service.store.database,
        "key_policies",
        "key_id",
        theirs.rpartition("/")[2],
        f"key_id = '{mine.rpartition('/')[2]}'",
    )
    for _ in range(TRIES // 2):
        forget(world)
        assert code_of(world.by(NOBODY).decrypt, KeyId=theirs, CiphertextBlob=sealed) != ""


def test_a_grant_on_a_key_that_is_gone_meanwhile_is_not_listed(world: Inside) -> None:
    """Between the reading of a grant and that of its key, the key may be deleted."""
    admin = world.by(ADMIN)
    made = {"KeyId": world.key(CLOSED), "GranteePrincipal": NOBODY.arn, "RetiringPrincipal": ADMIN.arn}
    admin.create_grant(Operations=["Encrypt"], **made)
    assert len(admin.list_retirable_grants(RetiringPrincipal=ADMIN.arn)["Grants"]) == 1
    put_view(world.service.store.database, "keys", "account", OTHER, "FALSE")
    assert admin.list_retirable_grants(RetiringPrincipal=ADMIN.arn)["Grants"] == []


# -- conditions: what the database is asked, and what it is held to, are the same

PATHS: Final = ["", "/", "/a", "/A", "/a/", "/a_", "/a%", "/ab/", "/é/", "/\U0001f511", "z"]
TEXTS: Final = [*PATHS, '["a"]', '["A"]', '["a%","b"]', None]
CONDITIONS: Final = {
    "after": [after("text", text) for text in PATHS],
    "under": [under("text", text) for text in PATHS],
    "containing": [containing("text", name) for name in ("a", "A", "a%", "b", "_")],
    "among": [among("text", ()), among("text", ("/a", "/A")), among("text", ("z",))],
    "either": [either(after("text", "z"), under("text", "/a")), either(among("other", ("1",)), under("text", "/A"))],
}


def test_a_path_is_told_from_one_with_other_capitals(filled: Filled) -> None:
    store, found = filled.store, {}
    with store.database.write() as txn:
        for number, path in enumerate(("/Team/", "/team/", "/team/x/", "/t_am/")):
            name = f"n{number}"
            store.identities.insert(txn, Principal(f"AIDA{name}", ACCOUNT, USER, name, path=path, created_at=NOW))
            store.managed_policies.insert(txn, managed_policy(name, NOTHING, path=path))
        for prefix in ("/Team/", "/team/", "/tEam/", "/t_am/", "/te", "/%"):
            users = store.identities.page(txn.connection, ACCOUNT, USER, prefix, "", 10)
            policies = store.managed_policies.page(txn.connection, ACCOUNT, prefix, "", 10)
            assert [user.name for user in users] == [policy.name for policy in policies]
            found[prefix] = [int(user.name[1:]) for user in users]
    assert found == {"/Team/": [0], "/team/": [1, 2], "/tEam/": [], "/t_am/": [3], "/te": [1, 2], "/%": []}


@pytest.mark.parametrize("kind", CONDITIONS)
def test_a_condition_says_the_same_to_the_database_and_of_a_row(kind: str) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("text", sa.Text), sa.Column("other", sa.Text))
    rows = [{"text": text, "other": str(number % 2)} for number, text in enumerate(TEXTS)]
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), rows)
        for condition in CONDITIONS[kind]:
            found = [dict(row) for row in connection.execute(sa.select(table).where(condition.sql(table))).mappings()]
            assert found == [row for row in rows if condition.holds(row)]
    engine.dispose()
