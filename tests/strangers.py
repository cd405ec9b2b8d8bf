"""Accounts beside the one that a service begins with."""

import psycopg

from server import RootKey, Server
from sordino.adapters.postgres.embedded import find_running
from sordino.adapters.vault import FernetVault
from sordino.domain.identity import CI_ROLE, CI_ROLE_POLICY, CI_ROLE_TRUST


def add_account(service: Server, key: RootKey, uin: str) -> None:
    """Give a running service another account with that key of its root; quiet when it has it."""
    dsn = find_running(service.data)
    assert dsn is not None
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO sordino.accounts (appid, uin) VALUES (%s, %s) ON CONFLICT DO NOTHING", [key.appid, uin]
        )
        connection.execute(
            "INSERT INTO sordino.roles (appid, name, trust, created_at) VALUES (%s, %s, %s, now())"
            " ON CONFLICT DO NOTHING",
            [key.appid, CI_ROLE, CI_ROLE_TRUST],
        )
        connection.execute(
            "INSERT INTO sordino.attachments (appid, policy, role) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [key.appid, CI_ROLE_POLICY, CI_ROLE],
        )
        connection.execute(
            "INSERT INTO sordino.access_keys (secret_id, secret, sealed, appid) VALUES (%s, %s, true, %s)"
            " ON CONFLICT DO NOTHING",
            [key.secret_id, FernetVault(data=service.data).seal(key.secret_key), key.appid],
        )
