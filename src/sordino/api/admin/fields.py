"""What paths, queries and bodies of the admin API are made of."""

import json
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ConfigDict, StringConstraints

from sordino import errors
from sordino.errors import ServiceError

MAX_BYTES: Final = 256 * 1024
"""Of a body."""

JSON: Final = "application/json"

Text = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""On one line, and without what a terminal would obey."""

NAME: Final = r"^[A-Za-z0-9+=,.@_-]{1,64}$"

Appid = Annotated[str, Path(pattern="^[0-9]{1,20}$", description="APPID of the account.")]
Name = Annotated[str, Path(pattern=NAME)]
PolicyName = Annotated[str, Path(pattern=NAME, description="Of the account's own policy, or of a preset.")]
SecretId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,128}$")]
BucketName = Annotated[str, Path(pattern="^[a-z0-9-]{1,60}$", description="Full name, `<name>-<APPID>`.")]
Id = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$")]


def failure(refusal: ServiceError, request_id: str) -> bytes:
    """The body of a refusal; in ASCII, since what is told may be whatever was sent."""
    return json.dumps({"code": refusal.code, "message": refusal.message, "request_id": request_id}).encode()


class View(BaseModel):
    """What is shown."""

    model_config = ConfigDict(frozen=True, from_attributes=True, use_attribute_docstrings=True)


class Body(BaseModel):
    """What is sent; nothing that is not known, and nothing that is only nearly of its type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


def _without_defaults(schema: dict[str, Any]) -> None:
    """Say nothing of what stands in for a field that was not sent: it is never looked at."""
    schema["minProperties"] = 1
    for field in schema["properties"].values():
        field.pop("default", None)


class Changes(Body):
    """What is sent to change something; what is not sent stays as it is."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


def given(body: Changes) -> dict[str, Any]:
    """What of a body was sent, which may be null.

    Raises:
        ServiceError: InvalidArgument: nothing was.
    """
    fields = {name: getattr(body, name) for name in body.model_fields_set}
    if not fields:
        raise errors.INVALID_ARGUMENT(f"Nothing is to change; send one of {', '.join(type(body).model_fields)}.")
    return fields


async def _document(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise errors.INVALID_CONTENT_TYPE(f"Send the policy as {JSON}.")
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError:
        raise errors.MALFORMED_POLICY("The policy is not UTF-8.") from None


Document = Annotated[str, Depends(_document)]
"""A body that is a policy, as it was written: what reads it is stricter than a reader of JSON is."""

OF_DOCUMENT: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The policy itself, in CAM's language.",
        "content": {JSON: {"schema": {"type": "object"}}},
    }
}
"""What the API's own document says of such a body."""


def parsed(document: str) -> dict[str, Any]:
    """A policy to show."""
    return dict(json.loads(document))
