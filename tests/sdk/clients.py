"""The official Python SDK pointed at a server in each of its ways, and requests of one's own through it."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import requests
from qcloud_cos import CosS3Auth, CosS3Client

from sdk.calls import Mode
from server import REGION, Server

SUFFIX = "sordino.test"
"""A domain of the tests: every name below it leads to this machine, as a wildcard record would have it."""


def _proxy(service: Server, bucket: str) -> dict[str, object]:
    return {"Proxies": {"http": service.url}}


def _path_style(service: Server, bucket: str) -> dict[str, object]:
    return {"Domain": f"127.0.0.1:{service.port}/{bucket}", "ServiceDomain": f"127.0.0.1:{service.port}"}


def _ip(service: Server, bucket: str) -> dict[str, object]:
    return {"IP": "127.0.0.1", "Port": service.port, "ServiceDomain": f"127.0.0.1:{service.port}"}


def _dns(service: Server, bucket: str) -> dict[str, object]:
    cos, ci = (f"{kind}.{REGION}.{SUFFIX}:{service.port}" for kind in ("cos", "ci"))
    return {"Endpoint": cos, "EndpointCi": ci, "ServiceDomain": cos}


OPTIONS: Mapping[Mode, Callable[[Server, str], dict[str, object]]] = {
    Mode.PROXY: _proxy,
    Mode.PATH: _path_style,
    Mode.IP: _ip,
    Mode.DNS: _dns,
}
"""What ``CosConfig`` takes beside region and key."""


def client_in(mode: Mode, service: Server, bucket: str) -> CosS3Client:
    """A client that reaches the server in that mode; path-style clients know one bucket."""
    return service.client(**OPTIONS[mode](service, bucket))


@contextmanager
def wildcard_dns() -> Iterator[None]:
    """Let the names of ``SUFFIX`` be found by this process."""
    resolve = socket.getaddrinfo

    def find(host, *arguments, **options):
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if (name or "").endswith(SUFFIX) else host, *arguments, **options)

    socket.getaddrinfo = find
    try:
        yield
    finally:
        socket.getaddrinfo = resolve


def send(
    client: CosS3Client,
    method: str,
    bucket: str,
    path: str,
    *,
    body: bytes | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None,
) -> requests.Response:
    """A CI request for which the SDK has no method, signed and sent by it.

    Args:
        client: whose.
        method: of HTTP.
        bucket: whose CI host is asked.
        path: of the call.
        body: None for no body.
        query: signed.
        headers: more of them.
        auth: signs in place of the SDK.

    Raises:
        CosServiceError: the server refuses.
    """
    params = dict(query or {})
    return client.send_request(
        method=method,
        url=client._conf.uri(bucket=bucket, path=path, endpoint=client._conf._endpoint_ci),
        bucket=bucket,
        data=body,
        params=params,
        headers=dict(headers or {"Content-Type": "application/xml"}),
        auth=auth or CosS3Auth(client._conf, path, params=params),
        ci_request=True,
    )
