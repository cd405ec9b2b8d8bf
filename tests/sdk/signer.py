"""A signer of COS and CI requests, written from the protocol's formulas alone and sharing nothing with the product."""

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import quote

Pairs = Iterable[tuple[str, str]]


def authorization(
    secret_id: str, secret_key: str, *, method: str, path: str, query: Pairs, headers: Pairs, start: int, end: int
) -> str:
    """The value of the Authorization header.

    Args:
        secret_id: whose.
        secret_key: with what.
        method: of HTTP.
        path: percent-decoded.
        query: the parameters to sign, decoded.
        headers: the headers to sign.
        start: first second of its validity, Unix time.
        end: last one.
    """
    time = f"{start};{end}"
    names, parameters = _listed(query)
    header_names, values = _listed(headers)
    http = f"{method.lower()}\n{path}\n{parameters}\n{values}\n"
    to_sign = f"sha1\n{time}\n{hashlib.sha1(http.encode()).hexdigest()}\n"
    signature = _hmac(_hmac(secret_key, time), to_sign)
    return (
        f"q-sign-algorithm=sha1&q-ak={secret_id}&q-sign-time={time}&q-key-time={time}"
        f"&q-header-list={header_names}&q-url-param-list={names}&q-signature={signature}"
    )


def _listed(pairs: Pairs) -> tuple[str, str]:
    """The names joined by ``;``, and names with values joined by ``&``, sorted and encoded."""
    encoded = sorted((quote(name, safe="").lower(), quote(value, safe="")) for name, value in pairs)
    return ";".join(name for name, _ in encoded), "&".join(f"{name}={value}" for name, value in encoded)


def _hmac(key: str, message: str) -> str:
    return hmac.new(key.encode(), message.encode(), "sha1").hexdigest()
