"""The calls of bucket policies, whose bodies are JSON.

https://cloud.tencent.com/document/product/436 ("PUT Bucket policy", "GET Bucket policy", "DELETE Bucket policy")
"""

from typing import Final

from starlette.responses import Response

from sordino import errors
from sordino.api.body import cos_body
from sordino.api.call import Call
from sordino.domain.policy import MAX_TEXT

MAX_BYTES: Final = 4 * MAX_TEXT
"""Of a body: no character has more bytes of UTF-8 than four."""


async def put_bucket_policy(call: Call) -> Response:
    """``PUT /?policy``: it takes the place of the one that there is, and holds for the next call."""
    bucket = call.bucket()
    body = await cos_body(call.request, MAX_BYTES)
    if not body:
        raise errors.MISSING_REQUEST_BODY("The request needs a body: the policy, as JSON.")
    await call.services.bucket_policies.put(bucket.name, _text(body))
    return Response(status_code=204)


async def get_bucket_policy(call: Call) -> Response:
    """``GET /?policy``: the document as it was put."""
    document = await call.services.bucket_policies.get(call.bucket().name)
    return Response(document, 200, {"Content-Type": "application/json"})


async def delete_bucket_policy(call: Call) -> Response:
    """``DELETE /?policy``; 204 also when there was none."""
    await call.services.bucket_policies.remove(call.bucket().name)
    return Response(status_code=204)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise errors.MALFORMED_POLICY("The policy is not UTF-8.") from None
