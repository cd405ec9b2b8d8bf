"""The refusals of STS, by the codes of the cloud's API.

Its clients read a code in a JSON reply of status 200; any other status is a broken network to them. The status here is
what the code means, for the log.

https://cloud.tencent.com/document/product/1312/48218 ("Error codes")
"""

from typing import Final

from sordino.errors import ErrorKind

# Sign-in
NO_AUTHORIZATION: Final = ErrorKind(401, "AuthFailure.InvalidAuthorization", "The request is not signed as STS asks.")
NO_SUCH_KEY: Final = ErrorKind(401, "AuthFailure.SecretIdNotFound", "There is no such SecretId.")
BAD_SIGNATURE: Final = ErrorKind(
    401, "AuthFailure.SignatureFailure", "The signature does not match; check SecretId, SecretKey and the signed host."
)
EXPIRED: Final = ErrorKind(
    401,
    "AuthFailure.SignatureExpire",
    "The time of the request is too far from the server's; check the client's clock.",
)
BAD_TOKEN: Final = ErrorKind(401, "AuthFailure.TokenFailure", "The token is not that of the key.")

# Request
INVALID_ACTION: Final = ErrorKind(400, "InvalidAction", "There is no such Action.")
NO_SUCH_VERSION: Final = ErrorKind(400, "NoSuchVersion", "There is no such Version; use 2018-08-13.")
NOT_OFFERED: Final = ErrorKind(400, "UnsupportedOperation", "That is not offered.")
MISSING_PARAMETER: Final = ErrorKind(400, "MissingParameter", "A parameter is missing.")
BAD_PARAMETER: Final = ErrorKind(400, "InvalidParameter.ParamError", "A parameter is not valid.")
TOO_LONG: Final = ErrorKind(400, "InvalidParameter.OverTimeError", "Temporary keys are not given for so long.")
BAD_POLICY: Final = ErrorKind(400, "InvalidParameter.StrategyFormatError", "The policy cannot be read.")

# What it asks for
DENIED: Final = ErrorKind(403, "UnauthorizedOperation", "The caller may not do that.")
NO_SUCH_ROLE: Final = ErrorKind(404, "ResourceNotFound.RoleNotFound", "The account has no such role.")
PERMANENT_ONLY: Final = ErrorKind(
    403, "FailedOperation.TempKeyNotAllowed", "A temporary key gets no other ones; sign with a permanent key."
)
TOO_MANY_KEYS: Final = ErrorKind(403, "LimitExceeded", "The account has as many temporary keys as it may have.")
TOO_MANY_REQUESTS: Final = ErrorKind(429, "RequestLimitExceeded", "Too many requests; wait a moment.")
FAILED: Final = ErrorKind(500, "InternalError", "The server failed or cannot answer now; try again.")
