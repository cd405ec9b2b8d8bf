"""A client of the admin API, and tokens for it."""

import http.client
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from server import Server
from support import clean_environment

_ADMIN = re.compile(r"Its admin API is on (?P<url>https?://\S+)\.\n")


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered; ``body`` is read from JSON, and None where there is none."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """Of a refusal."""
        return str(self.body["code"])


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin API of a service, to somebody with a token; None: with none."""

    service: Server
    bearer: str | None
    context: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """Where it is, as the service said when it started."""
        return _ADMIN.findall(self.service.log.read_text())[-1]

    def having(self, bearer: str | None) -> "Admin":
        """The same with another token."""
        return replace(self, bearer=bearer)

    def send(
        self, method: str, path: str, body: object = ..., *, headers: Mapping[str, str] | None = None, raw: bytes = b""
    ) -> Reply:
        """What comes of a call.

        Args:
            method: HTTP method.
            path: with its query, escaped.
            body: to send as JSON; ``...``: none.
            headers: besides those that a client sends.
            raw: the body as it is.
        """
        sent = dict(headers or {})
        if self.bearer is not None:
            sent.setdefault("Authorization", f"Bearer {self.bearer}")
        if body is not ...:
            raw = json.dumps(body).encode()
        if raw:
            sent.setdefault("Content-Type", "application/json")
        url = urlsplit(self.url)
        connection = (
            http.client.HTTPSConnection(url.netloc, timeout=60, context=self.context)
            if url.scheme == "https"
            else http.client.HTTPConnection(url.netloc, timeout=60)
        )
        try:
            connection.request(method, path, raw or None, sent)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        return Reply(
            reply.status,
            {name.lower(): value for name, value in reply.getheaders()},
            json.loads(content) if content else None,
        )

    def done(self, method: str, path: str, body: object = ...) -> Any:
        """What comes of a call that is not refused."""
        reply = self.send(method, path, body)
        assert reply.status < 300, reply
        return reply.body


def new_token(service: Server, *options: str) -> str:
    """A token, as the command line makes it: ``NAME --account APPID --read-only --days N``."""
    made = subprocess.run(
        [sys.executable, "-m", "sordino", "admin", "token", "create", *options, "--data", str(service.data), "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    return str(json.loads(made.stdout)["token"])
