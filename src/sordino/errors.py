"""The catalogue of refusals: every code a client can meet, with its HTTP status and a default message.

Raise one with a message that says what to do: ``raise INVALID_ARGUMENT("JobLevel is '7'; use 0, 1 or 2")``.
The codes are those of Cloud Infinite's and COS's error tables (CI: "Error codes"; COS: "Error codes", document 436/7730).
Services raise them without knowing HTTP or XML; ``sordino.api`` is the only place that renders them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ServiceError(Exception):
    """A refusal with a protocol code.

    Attributes:
        status: HTTP status, 400-599.
        code: protocol code, e.g. ``NoSuchKey``.
        message: what went wrong and what to do, shown to the client.
        headers: header fields that the reply must carry, e.g. ``Allow``.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.status}, {self.code!r}, {self.message!r})"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One row of the catalogue; calling it makes the exception."""

    status: int
    code: str
    message: str

    def __call__(self, message: str | None = None, headers: Mapping[str, str] = _NO_HEADERS) -> ServiceError:
        """Make the exception to raise, with ``message`` in place of the default."""
        return ServiceError(self.status, self.code, message or self.message, headers)


# Request
INVALID_ARGUMENT = ErrorKind(400, "InvalidArgument", "A parameter is missing or not valid.")
MISSING_CONTENT = ErrorKind(400, "MissingContent", "The request needs an XML body.")
INVALID_CONTENT = ErrorKind(400, "InvalidContent", "The body is not well-formed XML of the expected shape.")
CONTENT_TOO_LARGE = ErrorKind(413, "InvalidContent", "The body is larger than this call accepts.")
INVALID_CONTENT_TYPE = ErrorKind(400, "InvalidContentType", "Send the body as application/xml.")
INVALID_HOST = ErrorKind(
    400,
    "InvalidHost",
    "Neither host nor path names a bucket; use the host <bucket>.ci.<region>.<domain>, or a path /<bucket>/...",
)
INVALID_URL = ErrorKind(404, "InvalidUrl", "There is no such call; see the API coverage page.")
METHOD_NOT_ALLOWED = ErrorKind(405, "MethodNotAllowed", "This resource does not answer that method.")
MISSING_CONTENT_LENGTH = ErrorKind(411, "MissingContentLength", "Send Content-Length or a chunked body.")
INVALID_URI = ErrorKind(400, "InvalidURI", "The request target is not a valid path.")
REQUEST_TIMEOUT = ErrorKind(400, "RequestTimeOut", "The body did not arrive in time.")
INCOMPLETE_BODY = ErrorKind(400, "IncompleteBody", "The body ended before Content-Length bytes had arrived.")
NOT_IMPLEMENTED = ErrorKind(501, "NotImplemented", "This version of Sordino does not offer that call yet.")

# The same of XML bodies, in the words of COS.
MISSING_REQUEST_BODY = ErrorKind(400, "MissingRequestBodyError", "The request needs an XML body.")
MALFORMED_XML = ErrorKind(400, "MalformedXML", "The body is not well-formed XML of the expected shape.")

# Sign-in. CI answers 401, COS 403: the dispatcher picks the pair by service.
MISSING_AUTHORIZATION = ErrorKind(
    401, "MissingAuthorization", "The request is not signed; CI accepts signed requests only."
)
INVALID_AUTHORIZATION = ErrorKind(401, "InvalidAuthorization", "The Authorization value is malformed.")
SECRET_ID_NOT_EXIST = ErrorKind(401, "SecretidNotExist", "There is no such SecretId.")
SIGNATURE_EXPIRED = ErrorKind(
    401, "SignatureExpired", "The signature is outside its time window; check the client's clock."
)
CI_ACCESS_DENIED = ErrorKind(401, "AccessDenied", "The signature does not match; check the SecretKey.")
ACCESS_DENIED = ErrorKind(403, "AccessDenied", "Access is denied.")
ACCESS_FORBIDDEN = ErrorKind(403, "AccessForbidden", "CORSResponse: No CORS rule allows this request.")
REQUEST_HAS_EXPIRED = ErrorKind(403, "AccessDenied", "Request has expired")
REQUEST_TIME_TOO_SKEWED = ErrorKind(
    403, "RequestTimeTooSkewed", "The client's clock differs too much from the server's."
)
INVALID_ACCESS_KEY_ID = ErrorKind(403, "InvalidAccessKeyId", "There is no such SecretId.")
EXPIRED_TOKEN = ErrorKind(400, "ExpiredToken", "The temporary key has ended; ask for a new one.")
SIGNATURE_DOES_NOT_MATCH = ErrorKind(403, "SignatureDoesNotMatch", "The signature does not match; check the SecretKey.")

# Buckets and objects
INVALID_BUCKET_NAME = ErrorKind(400, "InvalidBucketName", "A bucket is named <name>-<APPID>: a-z, 0-9 and '-'.")
KEY_TOO_LONG = ErrorKind(400, "KeyTooLong", "An object key has at most 850 bytes of UTF-8.")
ENTITY_TOO_LARGE = ErrorKind(400, "EntityTooLarge", "The object is larger than one upload may be.")
ENTITY_TOO_SMALL = ErrorKind(400, "EntityTooSmall", "Every part but the last has at least 1 MB.")
INVALID_PART = ErrorKind(400, "InvalidPart", "A part was not uploaded, or its ETag is another one.")
INVALID_PART_ORDER = ErrorKind(400, "InvalidPartOrder", "Name the parts in ascending order, each once.")
NO_SUCH_UPLOAD = ErrorKind(
    404, "NoSuchUpload", "There is no such upload of this key: it was never begun, or was completed or aborted."
)
BAD_DIGEST = ErrorKind(400, "BadDigest", "The body does not match its Content-MD5.")
INVALID_DIGEST = ErrorKind(400, "InvalidDigest", "Content-MD5 must be the base64 of 16 bytes.")
NO_SUCH_BUCKET = ErrorKind(404, "NoSuchBucket", "The bucket does not exist.")
NO_SUCH_COPY_SOURCE = ErrorKind(404, "NoSuchCopySource", "The object to copy does not exist.")
FILE_ALREADY_EXISTS = ErrorKind(
    409, "FileAlreadyExists", "There is an object of this key, and x-cos-forbid-overwrite says not to replace it."
)
MISSING_CONTENT_MD5 = ErrorKind(400, "MissingContentMD5", "Send the MD5 of the body, in base64, as Content-MD5.")
NO_SUCH_KEY = ErrorKind(404, "NoSuchKey", "The object does not exist.")
NO_SUCH_CORS = ErrorKind(
    404, "NoSuchCORSConfiguration", "The bucket has no CORS rules of its own; put some with PUT /?cors."
)
BUCKET_ALREADY_EXISTS = ErrorKind(409, "BucketAlreadyExists", "Another account owns a bucket of this name.")
BUCKET_ALREADY_OWNED_BY_YOU = ErrorKind(409, "BucketAlreadyOwnedByYou", "You own this bucket already.")
BUCKET_NOT_EMPTY = ErrorKind(409, "BucketNotEmpty", "Delete the objects of the bucket first.")
PRECONDITION_FAILED = ErrorKind(412, "PreconditionFailed", "A condition of the request does not hold.")
INVALID_RANGE = ErrorKind(416, "InvalidRange", "The range lies outside the object.")

# Jobs
RESOURCE_NOT_FOUND = ErrorKind(400, "ResourceNotFound", "The input object does not exist.")
RESOURCE_ACCESS_DENIED = ErrorKind(400, "ResourceAccessDenied", "The input object may not be read.")
CI_ROLE_NOT_EXIST = ErrorKind(400, "CIRoleNotExist", "The account has no role CI_QCSRole that CI may take.")
RESOURCE_DOWNLOAD_FAILED = ErrorKind(400, "ResourceDownloadFailed", "The input object could not be read.")
RESOURCE_NOT_SUPPORTED = ErrorKind(
    400, "ResourceNotSupported", "The input is not an audio or video file that can be read."
)
WRITE_TARGET_BUCKET_DENIED = ErrorKind(403, "WriteTargetBucketDenied", "The output bucket may not be written.")
QUEUE_NOT_FOUND = ErrorKind(404, "QueueNotFound", "There is no such queue in this bucket.")
QUEUE_SATURATED = ErrorKind(403, "QueueSaturated", "The queue is full; try again when jobs have ended.")
TOO_MANY_BUCKETS = ErrorKind(400, "TooManyBuckets", "The account has as many buckets as it may have.")
TOO_MANY_UPLOADS = ErrorKind(400, "TooManyUploads", "The bucket has as many unfinished uploads as it may have.")
QUEUE_NUM_LIMIT = ErrorKind(400, "QueueNumLimit", "The bucket has as many queues as it may have.")

# Templates and services
TEMPLATE_NOT_FOUND = ErrorKind(404, "TemplateNotFound", "There is no such template in this bucket.")
TEMPLATE_NAME_DUPLICATE = ErrorKind(400, "TemplateNameDuplicate", "The bucket has a template of that name already.")
CREATED_TEMPLATE_NUM_LIMIT = ErrorKind(
    400, "CreatedTemplateNumLimit", "The bucket has as many templates as it may have."
)
BUCKET_ALREADY_BINDED = ErrorKind(403, "BucketAlreadyBinded", "The service is open on this bucket already.")
MEDIA_BUCKET_ALREADY_BINDED = ErrorKind(
    403, "MediaBucketAlreadyBinded", "The media service is open on this bucket already."
)
MEDIA_BUCKET_UN_BINDED = ErrorKind(403, "MediaBucketUnBinded", "The service is not open on this bucket; open it first.")

# Who may do what, as operators are told
NO_SUCH_ENTITY = ErrorKind(404, "NoSuchEntity", "There is no such account, user, group, key, policy or role.")
ENTITY_ALREADY_EXISTS = ErrorKind(409, "EntityAlreadyExists", "There is one of that name already.")
ENTITY_IN_USE = ErrorKind(409, "EntityInUse", "It is still needed.")
LIMIT_EXCEEDED = ErrorKind(409, "LimitExceeded", "There are as many as there may be.")
MALFORMED_POLICY = ErrorKind(400, "MalformedPolicy", "The policy cannot be read.")
NO_SUCH_BUCKET_POLICY = ErrorKind(404, "NoSuchBucketPolicy", "The bucket has no policy.")

# Too much. CI answers 429, COS 503; each carries Retry-After.
SLOW_DOWN = ErrorKind(503, "SlowDown", "Too many requests; send fewer.")
CI_SLOW_DOWN = ErrorKind(429, "SlowDown", "Too many requests, or too much waits to be done; try again later.")

# Ours
QUOTA_EXCEEDED = ErrorKind(403, "QuotaExceeded", "The bucket would hold more than its quota.")
INTERNAL_ERROR = ErrorKind(500, "InternalError", "The server failed; the request id finds the cause in its log.")
SERVICE_UNAVAILABLE = ErrorKind(503, "ServiceUnavailable", "The server cannot answer now; try again.")
