"""The least that an API can be: every request is answered with a prepared body, by the very server that Sordino uses.

Usage: python scripts/echo_api.py --port PORT BODIES

BODIES is a JSON file, an object of methods with paths and the bodies of their replies. A request is answered once its
own body has come. What this does in a second is the most that the HTTP stack allows.
"""

import argparse
import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sordino.api.server import Server


class Echo:
    """An application that has its answers ready."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the request, answer."""
        request = Request(scope, receive)
        await request.body()
        body = self._bodies[f"{request.method} {request.url.path}"]
        await Response(body, headers={"Content-Type": "application/xml"})(scope, receive, send)


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("bodies", type=Path, help="file with the replies' bodies")
    chosen = parser.parse_args()
    bodies = {call: body.encode() for call, body in json.loads(chosen.bodies.read_text()).items()}
    # As `sordino serve` hands its socket to the API: by number, so that asyncio knows it for TCP and does not delay.
    listener = socket.socket(fileno=socket.create_server(("127.0.0.1", chosen.port), backlog=2048).detach())
    asyncio.run(Server(Echo(bodies)).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
