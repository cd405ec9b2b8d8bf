"""The socket that `sordino serve` and `sordino api` listen on."""

import socket

from sordino.cli.serve import _listen_on


def test_replies_are_not_delayed() -> None:
    """The socket knows that it is TCP: asyncio then sends the end of a reply without waiting for the client."""
    with _listen_on("127.0.0.1", 0, "--port NUMBER") as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert listener.getsockname()[0] == "127.0.0.1"
