"""Signed requests as an attacker has them: of any time, in a header or in a URL, sent as they are or changed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from people import Key
from raw_http import host_of, send
from sdk.signer import authorization
from server import Server

Reply = tuple[int, dict[str, str], bytes]
Pairs = tuple[tuple[str, str], ...]
Fields = dict[str, str | list[str] | None]
HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What a key has signed; ``sent`` sends it, as it is or changed.

    Attributes:
        path: decoded.
        host: that was signed; empty: none.
        query: signed parameters.
        headers: signed headers beside the host.
        start: first second of its time, from now.
        end: last one.
    """

    key: Key
    method: str = "GET"
    path: str = "/"
    host: str = ""
    query: Pairs = ()
    headers: Pairs = ()
    start: int = -60
    end: int = HOUR

    @classmethod
    def of(cls, key: Key, bucket: str, method: str, path: str, *, kind: str = "cos", **more: object) -> "Signed":
        """A request to a bucket, with its host."""
        return cls(key=key, method=method, path=path, host=host_of(bucket, kind), **more)

    @property
    def authorization(self) -> str:
        """The value of the header."""
        now = int(time.time())
        return authorization(
            self.key.secret_id,
            self.key.secret_key,
            method=self.method,
            path=self.path,
            query=self.query,
            headers=(*self.headers, *((("host", self.host),) if self.host else ())),
            start=now + self.start,
            end=now + self.end,
        )

    @property
    def parameters(self) -> str:
        """The same as part of a URL's query."""
        pairs = (pair.split("=", 1) for pair in self.authorization.split("&"))
        return "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)

    def sent(
        self,
        service: Server,
        *,
        method: str | None = None,
        target: str | None = None,
        host: str | None = None,
        headers: Fields | None = None,
        more: Sequence[str] = (),
        body: bytes = b"",
        in_url: bool = False,
        signature: str | None = None,
    ) -> Reply:
        """Send it, or what an attacker makes of it.

        Args:
            service: to whom.
            method: in place of the signed one.
            target: path and query as they are sent, in place of the signed ones.
            host: in place of the signed one.
            headers: beside the signed ones, or in their place; with a value of None without them.
            more: unsigned parameters, as they are sent.
            body: what it carries.
            in_url: whether the signature is part of the URL.
            signature: in place of its own.
        """
        said = signature if signature is not None else self.parameters if in_url else self.authorization
        query = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in self.query]
        path, _, given = (target if target is not None else quote(self.path)).partition("?")
        everything = [*([given] if given else [] if target is not None else query), *more, *([said] if in_url else [])]
        fields: Fields = {"Host": host or self.host or f"127.0.0.1:{service.port}"}
        fields |= dict(self.headers)
        if self.key.token:
            fields["x-cos-security-token"] = self.key.token
        if not in_url:
            fields["Authorization"] = said
        return send(
            service,
            method or self.method,
            f"{path}?{'&'.join(everything)}" if everything else path,
            body=body,
            headers=fields | (headers or {}),
            signed=False,
        )

    def but(self, **changes: object) -> "Signed":
        """Another that the same key has signed."""
        return replace(self, **changes)
