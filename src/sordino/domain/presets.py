"""Preset policies, under the names that they have at the vendor; attachments name them like an account's own.

https://cloud.tencent.com/document/product/436/45236 (COS), 460/41743 (CI), 598/10599 (CAM)
"""

import json
from types import MappingProxyType
from typing import Final

from sordino.domain.identity import CI_ROLE, CI_ROLE_POLICY, NamedPolicy

_ROLES: Final = f"qcs::cam:::roleName/{CI_ROLE}"
_PASS: Final = (["cam:PassRole"], _ROLES)
_UPLOADS: Final = [
    "cos:PutObject*",
    "cos:PostObject",
    "cos:InitiateMultipartUpload",
    "cos:UploadPart",
    "cos:UploadPartCopy",
    "cos:CompleteMultipartUpload",
    "cos:AbortMultipartUpload",
    "cos:ListParts",
]
_READS: Final = ["cos:GetObject*", "cos:HeadObject", "cos:OptionsObject"]
_LISTS: Final = ["cos:GetService", "cos:GetBucket", "cos:HeadBucket", "cos:ListMultipartUploads", "cos:ListParts"]


def _allow(*statements: tuple[list[str], str]) -> str:
    return json.dumps(
        {
            "version": "2.0",
            "statement": [
                {"effect": "allow", "action": actions, "resource": resource} for actions, resource in statements
            ],
        }
    )


_DOCUMENTS: Final = {
    "AdministratorAccess": _allow((["*"], "*")),
    "ReadOnlyAccess": _allow((["*:Get*", "*:List*", "*:Describe*", "*:Head*", "cos:OptionsObject"], "*")),
    "QcloudCIFullAccess": _allow((["ci:*"], "*"), _PASS),
    "QcloudCIReadOnlyAccess": _allow((["ci:Describe*", "ci:Get*", "ci:List*"], "*")),
    "QcloudCOSFullAccess": _allow((["cos:*"], "*")),
    "QcloudCOSReadOnlyAccess": _allow((["cos:List*", "cos:Get*", "cos:Head*", "cos:OptionsObject"], "*")),
    "QcloudCOSDataFullControl": _allow(([*_LISTS, *_READS, *_UPLOADS, "cos:DeleteObject*"], "*")),
    "QcloudCOSDataReadOnly": _allow((_READS, "*")),
    "QcloudCOSDataWriteOnly": _allow((_UPLOADS, "*")),
    "QcloudCOSListOnly": _allow((_LISTS, "*")),
    "QcloudCOSBucketConfigRead": _allow((["cos:GetBucket*", "cos:HeadBucket"], "*")),
    "QcloudCOSBucketConfigWrite": _allow((["cos:PutBucket*"], "*")),
    CI_ROLE_POLICY: _allow(([*_LISTS, *_READS, *_UPLOADS], "*")),
    "QcloudSTSFullAccess": _allow((["sts:*"], "*")),
    "QcloudCamFullAccess": _allow((["cam:*"], "*")),
    "QcloudCmqQueueFullAccess": _allow((["cmqqueue:*"], "*")),
    "QcloudCmqTopicFullAccess": _allow((["cmqtopic:*"], "*")),
}

PRESETS: Final = MappingProxyType({name: NamedPolicy(name, document) for name, document in _DOCUMENTS.items()})
"""Preset policies by name."""


def named(name: str) -> NamedPolicy | None:
    """The preset of that name, or None."""
    return PRESETS.get(name)
