"""AWS Signature Version 4 of requests to S3-compatible stores.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A key, and the region it signs for."""

    access_key_id: str
    secret: str = field(repr=False)
    region: str

    def sign(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        payload: str,
        at: datetime,
    ) -> dict[str, str]:
        """The headers that make a request a signed one, besides ``headers``.

        Args:
            method: upper-case.
            path: percent-encoded.
            query: not encoded.
            headers: lower-case names, ``host`` among them; all are signed.
            payload: hex SHA-256 of the body.
            at: now, UTC.
        """
        stamp = at.strftime("%Y%m%dT%H%M%SZ")
        added = {"x-amz-content-sha256": payload, "x-amz-date": stamp}
        signed = dict(sorted({**headers, **added}.items()))
        names = ";".join(signed)
        lines = [f"{name}:{' '.join(value.split())}" for name, value in signed.items()]
        canonical = "\n".join([method, path, query_text(query), *lines, "", names, payload])
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        # Header values are bytes that were read as Latin-1, and are sent so.
        to_sign = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()])
        signature = hmac.new(self._key(scope), to_sign.encode(), hashlib.sha256).hexdigest()
        credential = f"{self.access_key_id}/{scope}"
        authorization = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
        return {**added, "authorization": authorization}

    def _key(self, scope: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key


def query_text(query: Mapping[str, str]) -> str:
    """The query in its canonical form, which is also the one that is sent."""
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)
