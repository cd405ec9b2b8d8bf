"""TLS handshakes without a network."""

import ssl
from pathlib import Path

from sordino.settings import SERVER_CERTIFICATE, SERVER_KEY


def server_context(directory: Path) -> ssl.SSLContext:
    """A server that shows the certificate of a ``tls`` directory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / SERVER_CERTIFICATE, directory / SERVER_KEY)
    return context


def client_context(ca: Path) -> ssl.SSLContext:
    """A client that trusts one authority and nobody else, and looks at names."""
    return ssl.create_default_context(cafile=str(ca))


def agree(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Shake hands in memory; the client's end.

    Raises:
        ssl.SSLError: either side refuses.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    while waiting:
        waiting = [end for end in waiting if not has_agreed(end)]
    return ours


def has_agreed(end: ssl.SSLObject) -> bool:
    """Go on with the handshake; whether this end has done its part."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
