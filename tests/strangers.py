"""Accounts beside the one that a service begins with."""

import psycopg

from server import RootKey, Server
from sordino.adapters.postgres.embedded import find_running
from sordino.adapters.vault import FernetVault


def add_account(service: Server, key: RootKey, uin: str) -> None:
    """Give a running service another account with that key of its root; quiet when it has it."""
    dsn = find_running(service.data)
    assert dsn is not None
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO sordino.accounts (appid, uin) VALUES (%s, %s) ON CONFLICT DO NOTHING", [key.appid, uin]
        )
        connection.execute(
            "INSERT INTO sordino.access_keys (secret_id, secret, sealed, appid) VALUES (%s, %s, true, %s)"
            " ON CONFLICT DO NOTHING",
            [key.secret_id, FernetVault(data=service.data).seal(key.secret_key), key.appid],
        )
