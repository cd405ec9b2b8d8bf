"""Names of the query that make another call of an address."""

from typing import Final

SUBRESOURCES: Final = frozenset(
    """
    accelerate acl append attributes ci-process cors delete domain domaincertificate encryption intelligent-tiering
    intelligenttiering inventory lifecycle live location logging metaquery object-lock objectlock origin partNumber
    policy referer replication response-control restore retention select symlink tagging torrent uploadId uploads
    versionId versioning versions vod website
    """.split()  # noqa: SIM905  # a list would take a line a name
)
"""Those of a bucket or an object, offered or not. Taking such a call for the plain one would be a grave mistake
(PUT /key?acl would overwrite the object)."""

ACL: Final = "acl"
"""The one that says who may read it."""

CALLBACKS: Final = "callbacks"
"""The one of a job."""

NO_CALL: Final = frozenset({"versionId"})
"""Of these those that some clients always send: empty, it says nothing, and else it is refused."""
