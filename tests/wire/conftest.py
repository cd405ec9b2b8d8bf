"""The official Python SDK with its network cut off: what it sends is kept, what it gets is ours to say."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import requests
from qcloud_cos import CosConfig, CosS3Client
from requests.adapters import BaseAdapter

SECRET_ID = "AKIDEXAMPLE0000000000000000000000001"
SECRET_KEY = "SecretKeyExample000000000000001"


@dataclass
class Wire(BaseAdapter):
    """A transport that keeps the requests and answers each with ``status`` and ``body``."""

    body: bytes = b""
    status: int = 200
    sent: list[requests.PreparedRequest] = field(default_factory=list)

    def send(self, request, **_):
        """Answer without sending."""
        self.sent.append(request)
        response = requests.Response()
        response.status_code = self.status
        response._content = self.body
        response.headers["Content-Type"] = "application/xml"
        response.request = request
        return response

    def close(self):
        """Nothing is open."""


@dataclass(frozen=True)
class Sdk:
    """A client and the wire it speaks on."""

    client: CosS3Client
    wire: Wire


@pytest.fixture
def sdk() -> Callable[..., Sdk]:
    """Make clients; keyword arguments go to ``CosConfig``."""

    def make(**config) -> Sdk:
        session, wire = requests.Session(), Wire()
        session.mount("http://", wire)
        settings = {
            "Region": "ap-guangzhou",
            "SecretId": SECRET_ID,
            "SecretKey": SECRET_KEY,
            "Scheme": "http",
            "EnableInternalDomain": False,
        }
        return Sdk(CosS3Client(CosConfig(**settings | config), retry=0, session=session), wire)

    return make
