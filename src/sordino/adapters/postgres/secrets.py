"""The secrets of every table, as one: whether they can be read here, and encrypting them anew."""

from dataclasses import dataclass
from typing import Final

from sordino.adapters.postgres.statements import Statements
from sordino.domain.ports import Vault, VaultError

_TABLES: Final = (
    ("access_keys", "secret_id", "secret", "sealed"),
    ("temporary_keys", "secret_id", "sealed", "true"),
    ("mounts", "bucket", "sealed", "true"),
)
"""Table, its key, the column of the secret, and which rows are encrypted."""

# The only text put in is ours, of the table above.
_ANY: Final = [f"SELECT {secret} AS secret FROM {table} WHERE {sealed} LIMIT 1" for table, _, secret, sealed in _TABLES]  # noqa: S608
_ALL: Final = {
    table: f"SELECT {key} AS key, {secret} AS secret FROM {table} WHERE {sealed}"  # noqa: S608
    for table, key, secret, sealed in _TABLES
}
_RENEW: Final = {
    # Not where it was put anew meanwhile.
    table: f"UPDATE {table} SET {secret} = %(new)s WHERE {key} = %(key)s AND {secret} = %(secret)s"  # noqa: S608
    for table, key, secret, _ in _TABLES
}
_CLEAR: Final = "SELECT secret_id, secret FROM access_keys WHERE NOT sealed FOR UPDATE"
# What an update replaces stays in the table's file, readable, until something else is written over it: a new file.
_FORGET: Final = "VACUUM FULL access_keys"
_SEAL: Final = "UPDATE access_keys SET secret = %(secret)s, sealed = true WHERE secret_id = %(secret_id)s"


@dataclass(frozen=True, slots=True)
class PostgresSecrets(Statements):
    """``cam_ports.Secrets`` over one connection."""

    vault: Vault

    async def check(self) -> None:
        """See that what was encrypted can be read here, by one secret of each kind.

        Raises:
            VaultError: it cannot.
        """
        for query in _ANY:
            if row := await self._row(query, {}):
                self.vault.open(row["secret"])

    async def seal(self) -> int:
        """Encrypt the secrets that an older version left in the clear; how many.

        Raises:
            VaultError: there is nothing to encrypt them with.
        """
        rows = await self._rows(_CLEAR, {})
        for row in rows:
            await self._done(_SEAL, {"secret_id": row["secret_id"], "secret": self.vault.seal(row["secret"])})
        return len(rows)

    async def forget(self) -> None:
        """Leave nothing in the tables' files of what was in the clear; not within a transaction."""
        await self.connection.execute(_FORGET)

    async def renew(self) -> int:
        """Encrypt those anew that an older key did; how many.

        Raises:
            VaultError: the keys cannot be read.
        """
        renewed = 0
        for table, query in _ALL.items():
            for row in await self._rows(query, {}):
                new = self._renewed(row["secret"])
                renewed += new is not None and await self._done(_RENEW[table], {**row, "new": new})
        return renewed

    def _renewed(self, sealed: str) -> str | None:
        """What an older key encrypted, by the newest; None of what cannot be read: whoever uses it is told."""
        if self.vault.is_newest(sealed):
            return None
        try:
            return self.vault.seal(self.vault.open(sealed))
        except VaultError:
            return None
