"""What the calls of multipart uploads ask for: parameters, and the list of parts that completes one."""

import re
from dataclasses import dataclass

from sordino.domain.upload import MAX_PARTS, NamedPart
from sordino.errors import INVALID_ARGUMENT, MALFORMED_XML
from sordino.wire.part import Part
from sordino.wire.query import Query
from sordino.wire.words import quote

COMPLETE_ROOT = "CompleteMultipartUpload"
MAX_COMPLETE_BYTES = 2 * 1024**2
"""Two hundred bytes for each of ``MAX_PARTS``."""

MAX_PAGE = 1000

_WHOLE = re.compile(r"[0-9]{1,9}")
# In quotes as the reply had it, without them, or with quotes that were escaped once more.
_ETAG = re.compile(r"""(?:"|&quot;|&#34;|\\")?([0-9a-f]{32})(?:"|&quot;|&#34;|\\")?""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PartsQuery:
    """A page of parts: at most ``limit`` with numbers above ``after``."""

    after: int
    limit: int
    url_encoded: bool


@dataclass(frozen=True, slots=True)
class UploadsQuery:
    """A page of uploads; what was not given is empty."""

    prefix: str
    delimiter: str
    key_marker: str
    upload_id_marker: str
    limit: int
    url_encoded: bool


def parse_upload_id(query: Query) -> str:
    """Read ``uploadId``.

    Raises:
        ServiceError: ``InvalidArgument`` when it is empty.
    """
    upload_id = query.get("uploadId")
    if upload_id is None:
        raise INVALID_ARGUMENT("The query parameter uploadId is empty; give the id that beginning the upload returned.")
    return upload_id


def parse_part_number(query: Query) -> int:
    """Read ``partNumber``, 1 to ``MAX_PARTS``.

    Raises:
        ServiceError: ``InvalidArgument``.
    """
    number = query.whole("partNumber", range(1, MAX_PARTS + 1), 0)
    if number == 0:
        raise INVALID_ARGUMENT(f"The query parameter partNumber is missing; use a whole number from 1 to {MAX_PARTS}.")
    return number


def parse_parts_query(query: Query) -> PartsQuery:
    """Read the parameters of List Parts; a page of more than ``MAX_PAGE`` is one of so many.

    Raises:
        ServiceError: ``InvalidArgument``.
    """
    return PartsQuery(
        after=query.whole("part-number-marker", range(10**9), 0),
        limit=min(query.whole("max-parts", range(10**9), MAX_PAGE), MAX_PAGE),
        url_encoded=_url_encoded(query),
    )


def parse_uploads_query(query: Query) -> UploadsQuery:
    """Read the parameters of List Multipart Uploads.

    Raises:
        ServiceError: ``InvalidArgument``.
    """
    return UploadsQuery(
        prefix=query.get("prefix") or "",
        delimiter=query.get("delimiter") or "",
        key_marker=query.get("key-marker") or "",
        upload_id_marker=query.get("upload-id-marker") or "",
        limit=min(query.whole("max-uploads", range(10**9), MAX_PAGE), MAX_PAGE),
        url_encoded=_url_encoded(query),
    )


def _url_encoded(query: Query) -> bool:
    """Whether keys are to be percent-encoded; the Go SDK spells it with a capital for List Parts."""
    return any(query.choice(name, ("url",)) for name in ("encoding-type", "Encoding-type"))


def parse_named_parts(part: Part) -> tuple[NamedPart, ...]:
    """Read the parts that a body of root ``COMPLETE_ROOT`` names, in its order.

    Raises:
        ServiceError: ``MalformedXML`` when there are none or too many, or one has no number or no ETag;
            ``InvalidArgument`` when one has two of them.
    """
    elements = part.element.all("Part")
    if not 1 <= len(elements) <= MAX_PARTS:
        raise MALFORMED_XML(f"{part.path} names {len(elements)} parts; name 1 to {MAX_PARTS}.")
    return tuple(_named(Part(element, f"{part.path}.Part")) for element in elements)


def _named(part: Part) -> NamedPart:
    number, etag = part.word("PartNumber"), part.word("ETag")
    if number is None or _WHOLE.fullmatch(number) is None:
        raise MALFORMED_XML(f"{part.path}.PartNumber is {quote(number or '')}; use 1 to {MAX_PARTS}.")
    if etag is None:
        raise MALFORMED_XML(f"{part.path}.ETag of part {int(number)} is missing; give what uploading it returned.")
    match = _ETAG.fullmatch(etag)
    return NamedPart(int(number), match[1].lower() if match else None)
