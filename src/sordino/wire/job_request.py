"""The body of ``POST /jobs``.

Source: "Submit an audio noise reduction job" of Cloud Infinite, and what the official SDKs send. What the protocol has
and this version does not offer is refused, never ignored.
"""

import re
from collections.abc import Collection

from sordino.domain.bucket import MAX_KEY_BYTES, split_bucket
from sordino.domain.job import (
    JOB_LEVELS,
    MAX_OPERATIONS,
    MAX_USER_DATA,
    QUEUE_TYPE,
    TAG,
    JobRequest,
    NoiseReduction,
    OperationRequest,
    Output,
    RateSpelling,
)
from sordino.errors import INVALID_ARGUMENT
from sordino.wire.notify import parse_job_callback
from sordino.wire.order import parse_order
from sordino.wire.part import Part, read_request

_REGION = re.compile(r"[a-z0-9-]{1,40}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_USER_DATA = re.compile(rf"[ -~]{{1,{MAX_USER_DATA}}}")


def parse_job(body: bytes, models: Collection[str]) -> JobRequest:
    """Read the body, in the form with one Operation or in that with several.

    Args:
        body: the document.
        models: names of the engines that a job may choose from.

    Raises:
        ServiceError: ``MissingContent`` without a body, ``InvalidContent`` for what is no XML of root ``Request`` or
            too large, ``InvalidArgument`` for a value the protocol does not allow, ``NotImplemented`` for one it allows
            and this version does not offer yet.
    """
    request = read_request(body)
    operations = _operations(request)
    _check_tags(request, operations)
    request.choice("QueueType", (QUEUE_TYPE,))
    return JobRequest(
        input_object=_input_object(request.need("Input")),
        operations=tuple(_operation(operation, models) for operation in operations),
        queue_id=request.checked("QueueId", _ID.fullmatch, "the id of a queue of this bucket, or leave it out"),
        callback=parse_job_callback(request),
    )


def _operations(request: Part) -> tuple[Part, ...]:
    """The Operations, numbered from 1 in messages where there are several."""
    found = request.element.all("Operation")
    if len(found) > MAX_OPERATIONS:
        raise INVALID_ARGUMENT(f"Request.Operation is given {len(found)} times; give it 1 to {MAX_OPERATIONS} times.")
    if len(found) <= 1:
        return (request.need("Operation"),)
    return tuple(Part(element, f"Request.Operation[{number}]") for number, element in enumerate(found, start=1))


def _check_tags(request: Part, operations: tuple[Part, ...]) -> None:
    """The kind of job is named once above, or in each Operation; it may be named in both places."""
    above = request.checked("Tag", TAG.__eq__, TAG)
    below = [operation.checked("Tag", TAG.__eq__, TAG) for operation in operations]
    if above is not None or all(below):
        return
    if any(below):
        raise INVALID_ARGUMENT(f"Some Operations have a Tag and some have none; give each the Tag {TAG}.")
    request.need_checked("Tag", TAG.__eq__, TAG)


def _input_object(part: Part) -> str:
    part.refuse("Url", "an input by URL is")
    key = _key(part)
    if key.lower().endswith(".m3u8"):
        raise INVALID_ARGUMENT("Request.Input.Object is a playlist (m3u8); name an audio or video file.")
    return key


def _operation(part: Part, models: Collection[str]) -> OperationRequest:
    return OperationRequest(
        noise_reduction=_order(part, models),
        output=_output(part.need("Output")),
        template_id=part.checked("TemplateId", _ID.fullmatch, "the id of a template of this bucket, or leave it out"),
        user_data=_user_data(part.find("UserData")),
        job_level=part.choice("JobLevel", JOB_LEVELS),
    )


def _order(part: Part, models: Collection[str]) -> NoiseReduction:
    order = part.find("NoiseReduction")
    return NoiseReduction() if order is None else parse_order(order, models, RateSpelling.JOB)


def _output(part: Part) -> Output:
    return Output(
        region=part.need_checked("Region", _REGION.fullmatch, "a region such as ap-guangzhou: a-z, 0-9 and '-'"),
        bucket=part.need_checked("Bucket", split_bucket, "<name>-<APPID> of a-z, 0-9 and '-', at most 60 characters"),
        object=_key(part),
    )


def _key(part: Part) -> str:
    """The child Object, an object's key, as written: white space belongs to a key."""
    key = part.need("Object").element.text
    if key.startswith("/"):
        # COS keys do not begin with a slash, and SDKs drop one: nobody would find the object that is meant here.
        raise INVALID_ARGUMENT(f"{part.path}.Object begins with '/'; write the key without it.")
    if not 1 <= len(key.encode()) <= MAX_KEY_BYTES:
        raise INVALID_ARGUMENT(f"{part.path}.Object must be a key of 1 to {MAX_KEY_BYTES} bytes of UTF-8.")
    return key


def _user_data(part: Part | None) -> str | None:
    if part is None:
        return None
    text = part.element.text
    if _USER_DATA.fullmatch(text) is None:
        raise INVALID_ARGUMENT(f"{part.path} must be at most {MAX_USER_DATA} printable ASCII characters.")
    return text
