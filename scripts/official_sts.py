"""The official Python SDKs of STS, unchanged: the one of COS, and that of the cloud's general API."""

from importlib import import_module

Sts = import_module("sts.sts").Sts
CISts = import_module("sts.sts").CISts
Scope = import_module("sts.sts").Scope

Credential = import_module("tencentcloud.common.credential").Credential
ClientProfile = import_module("tencentcloud.common.profile.client_profile").ClientProfile
HttpProfile = import_module("tencentcloud.common.profile.http_profile").HttpProfile
TencentCloudSDKException = import_module("tencentcloud.common.exception").TencentCloudSDKException
StsClient = import_module("tencentcloud.sts.v20180813.sts_client").StsClient
models = import_module("tencentcloud.sts.v20180813.models")
