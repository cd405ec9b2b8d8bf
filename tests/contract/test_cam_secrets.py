"""Secrets of keys: the database alone holds none that anybody could sign with."""

import json
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from psycopg import sql

from rows import BUCKET, NOW, OPERATOR, ROOT, VAULT, changes, execute
from sordino.adapters.postgres import migrate as migrate_module
from sordino.adapters.postgres.database import PostgresDatabase
from sordino.adapters.postgres.migrate import migrate, migrations
from sordino.adapters.tasks import EngineTasks, engine
from sordino.adapters.vault import KEY_FILE, FernetVault
from sordino.bootstrap import prepare
from sordino.cam.accounts import Accounts
from sordino.cam.keys import Keys
from sordino.cam.users import Users
from sordino.domain.identity import TemporaryKey
from sordino.domain.ports import VaultError
from sordino.settings import Settings

APPID = ROOT.account.appid
BEFORE_SEALING = 15
"""Migrations that a version had which kept secrets in the clear."""


async def dump(database: PostgresDatabase) -> str:
    """Every row of every table, as text."""
    tables = await execute(database, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    rows = [
        await execute(
            database, sql.SQL("SELECT to_jsonb(t) AS row FROM {} AS t").format(sql.Identifier(it["tablename"]))
        )
        for it in tables
    ]
    return json.dumps(rows, default=str)


def settings(dsn: str, schema: str, data: Path) -> Settings:
    """Of a service on a database of ours."""
    return Settings(database_url=dsn, database_schema=schema, data=data)


def open_database(dsn: str, schema: str, vault: FernetVault) -> PostgresDatabase:
    """The database of a service."""
    return PostgresDatabase(dsn, schema=schema, max_connections=2, vault=vault, tasks=partial(EngineTasks, engine()))


def no_root(_: object) -> None:
    """There is a root already."""
    pytest.fail("a root account was made")


async def test_the_database_holds_no_secret(database: PostgresDatabase) -> None:
    """Neither of roots and users nor of temporary keys, nor a token, wherever one looks; and all of them sign."""
    await Users(changes(database)).add(OPERATOR, APPID, "alice")
    keys = Keys(changes(database))
    mine = [await keys.add(OPERATOR, APPID, None), await keys.add(OPERATOR, APPID, "alice")]
    mine.append(await keys.rotate(OPERATOR, APPID, mine[1].secret_id))
    mine.append((await Accounts(changes(database)).create(OPERATOR, "second"))[1])
    session = TemporaryKey(
        secret_id="T",
        secret_key="temporary secret",
        token="token of it",
        appid=APPID,
        parent=mine[1].secret_id,
        role=None,
        session_name="s",
        policy=None,
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    async with database.transaction() as tx:
        assert await tx.temporary_keys.add(session)
        for key in mine:
            assert (await tx.identities.signer(key.secret_id, ""))[0].secret_key == key.secret_key
        assert (await tx.identities.temporary("T", ""))[0].secret_key == session.secret_key
    text = await dump(database)
    assert all(key.secret_id in text for key in mine)
    assert not [it for it in (*(key.secret_key for key in mine), session.secret_key, session.token) if it in text]


async def test_secrets_of_an_older_version(
    dsn: str, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are encrypted when the service starts, those of disabled keys, too; keys sign as before, and jobs have a role."""
    with monkeypatch.context() as earlier:
        steps = migrations()
        earlier.setattr(migrate_module, "migrations", lambda: steps[:BEFORE_SEALING])
        await migrate(dsn, schema)
    vault = FernetVault(data=tmp_path)
    async with open_database(dsn, schema, vault) as database:
        await execute(database, "INSERT INTO accounts (appid, uin) VALUES ('1250000000', '1')")
        await execute(
            database,
            "INSERT INTO access_keys (secret_id, secret_key, appid, enabled) VALUES ('old', 'in the clear', %s, true),"
            " ('off', 'in the clear', %s, false)",
            APPID,
            APPID,
        )
        for _ in range(2):
            assert await prepare(settings(dsn, schema, tmp_path), no_root) is None
        assert "in the clear" not in await dump(database)
        await execute(database, "CHECKPOINT")
        (file,) = await execute(database, "SELECT pg_read_binary_file(pg_relation_filepath('access_keys')) AS bytes")
        assert b"off" in file["bytes"]
        assert b"in the clear" not in file["bytes"]
        await execute(database, "UPDATE access_keys SET enabled = true")
        async with database.reading() as tx:
            for secret_id in ("old", "off"):
                assert (await tx.identities.signer(secret_id, ""))[0].secret_key == "in the clear"
            role, _ = await tx.identities.role(APPID, "CI_QCSRole")
        assert [policy.name for policy in role.policies] == ["QcloudAccessForCIRole"]
    assert (tmp_path / KEY_FILE).exists()


SPOILT = {
    "copy it from the machine": None,
    "sealed with a key that this machine does not have": Fernet.generate_key(),
    "is empty": b"",
    "is damaged: restore it from a copy. A key of secrets is 32 random bytes": b"short",
}
"""What may have become of the file of the key, by what is said of it; None: it is gone."""


async def test_a_start_without_the_key(dsn: str, schema: str, tmp_path: Path) -> None:
    """It is refused with what to do, and makes no key of its own; with the key it starts."""
    assert await prepare(settings(dsn, schema, tmp_path), lambda _: None) is not None
    path = tmp_path / KEY_FILE
    good = path.read_bytes()
    for message, content in SPOILT.items():
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(VaultError, match=message):
            await prepare(settings(dsn, schema, tmp_path), no_root)
        assert (path.read_bytes() if path.exists() else None) == content
        path.write_bytes(good)
    assert await prepare(settings(dsn, schema, tmp_path), no_root) is None


async def test_a_new_key_of_secrets(database: PostgresDatabase, tmp_path: Path) -> None:
    """In front of the old one it encrypts all anew, keys and mounts, once; then the old one is needed no more."""
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    both, alone = (FernetVault(data=tmp_path, keys=keys) for keys in ((new, old), (new,)))
    before = FernetVault(data=tmp_path, keys=(old,))
    await execute(database, "UPDATE access_keys SET secret = %s", before.seal("s"))
    lost = VAULT.seal("lost")
    await execute(database, "INSERT INTO mounts VALUES (%s, 's3://b', '{}', %s)", BUCKET, before.seal("m"))
    await execute(
        database,
        "INSERT INTO access_keys (secret_id, secret, sealed, appid) VALUES ('lost', %s, true, %s)",
        lost,
        APPID,
    )
    for renewed in (2, 0):
        async with open_database(database.conninfo, database.schema, both) as it, it.transaction() as tx:
            assert await tx.secrets.renew() == renewed
    async with open_database(database.conninfo, database.schema, alone) as it, it.reading() as tx:
        assert (await tx.identities.signer(ROOT.secret_id, ""))[0].secret_key == "s"
        with pytest.raises(VaultError, match="does not have"):
            await tx.identities.signer("lost", "")
    (mount,) = await execute(database, "SELECT sealed FROM mounts")
    assert alone.open(str(mount["sealed"])) == "m"
    assert await execute(database, "SELECT secret FROM access_keys WHERE secret_id = 'lost'") == [{"secret": lost}]


async def test_mounts_are_looked_at_as_well(database: PostgresDatabase, tmp_path: Path) -> None:
    """A machine that could read no mount is told when it starts."""
    await execute(database, "DELETE FROM access_keys")
    await execute(database, "INSERT INTO mounts VALUES (%s, 's3://b', '{}', %s)", BUCKET, VAULT.seal("m"))
    async with open_database(database.conninfo, database.schema, FernetVault(data=tmp_path)) as it, it.reading() as tx:
        with pytest.raises(VaultError, match=KEY_FILE):
            await tx.secrets.check()


async def test_another_machine_adds_no_key(database: PostgresDatabase, tmp_path: Path) -> None:
    """What it would encrypt the service could not read: it is told so, and nothing is written."""
    async with open_database(database.conninfo, database.schema, FernetVault(data=tmp_path)) as elsewhere:
        with pytest.raises(VaultError, match=KEY_FILE):
            await Keys(changes(elsewhere)).add(OPERATOR, APPID, None)
        with pytest.raises(VaultError, match=KEY_FILE):
            await Accounts(changes(elsewhere)).create(OPERATOR, "second")
        assert [use.key.secret_id for use in await Keys(changes(elsewhere)).every(APPID, None)] == [ROOT.secret_id]
        assert len(await Accounts(changes(elsewhere)).every()) == 1
    assert list(tmp_path.iterdir()) == []
    async with open_database(database.conninfo, database.schema, VAULT) as elsewhere:
        await Keys(changes(elsewhere)).add(OPERATOR, APPID, None)
