"""The header that names what a copy is made of, as SDKs and people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qcloud_cos.cos_comm import gen_copy_source_url

from sordino.errors import ServiceError
from sordino.wire.copy_source import read_copy_range, read_copy_source

BUCKET, REGION = "src-1250000000", "ap-guangzhou"
HOST = f"{BUCKET}.cos.{REGION}.myqcloud.com"
UTF_8_AS_IT_ARRIVES = "中".encode().decode("latin-1")


def read(value: str, default_bucket: str | None = None) -> tuple[str | None, str | None, str]:
    """Bucket, region and key that it names."""
    address = read_copy_source(value, default_bucket)
    return address.bucket, address.region, address.path[1:]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (f"{HOST}/a/b.wav", "a/b.wav"),
        (f"/{HOST}/a/b.wav", "a/b.wav"),
        (f"http://{HOST}/a/b.wav", "a/b.wav"),
        (f"HTTPS://{HOST}/a/b.wav", "a/b.wav"),
        (f"{HOST}/a%2Fb%20c%2B%3F.wav", "a/b c+?.wav"),
        (f"{HOST}/a+b", "a+b"),
        (f"{HOST}/%E4%B8%AD", "中"),
        (f"{HOST}/{UTF_8_AS_IT_ARRIVES}", "中"),
        (f"{HOST}//a//../b/", "/a//../b/"),
        (f"{HOST}/k?versionId=", "k"),
        (f"{HOST}/k?versionId=null", "k"),
        (f"{BUCKET}.cos.{REGION}.tencentcos.cn/k", "k"),
        (f"{BUCKET}.cos-internal.{REGION}.tencentcos.cn/k", "k"),
        (f"{BUCKET}.cos.{REGION}.sordino.test:8080/k", "k"),
        (f"cos.{REGION}.myqcloud.com/{BUCKET}/k", "k"),
    ],
)
def test_forms(value: str, key: str) -> None:
    """Scheme, leading slash, port, escapes and an empty version change nothing of what is meant."""
    assert read(value) == (BUCKET, REGION, key)


@pytest.mark.parametrize(
    "value", [f"/{BUCKET}/a/k", f"{BUCKET}/a/k", f"127.0.0.1:80/{BUCKET}/a/k", f"[::1]/{BUCKET}/a/k"]
)
def test_forms_without_a_region(value: str) -> None:
    """Path-style addresses name the bucket alone."""
    assert read(value) == (BUCKET, None, "a/k")


def test_the_default_bucket() -> None:
    """A bare host stands for the default bucket, as in a request."""
    assert read("127.0.0.1:80/a/k", BUCKET) == (BUCKET, None, "a/k")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "/",
        "k",
        HOST,
        f"{HOST}/",
        "example.org/k",
        f"{HOST}/%zz",
        f"{HOST}/%ff",
        f"{HOST}/%00",
        "under_score.cos.x-y/k",
    ],
)
def test_what_names_no_object(value: str) -> None:
    """A source without a bucket, without a key or with a broken one is refused in words."""
    with pytest.raises(ServiceError) as refusal:
        read(value)
    assert (refusal.value.status, refusal.value.code) == (400, "InvalidArgument")
    assert "x-cos-copy-source" in refusal.value.message


def test_older_versions() -> None:
    """A version that is not the current one is not offered."""
    with pytest.raises(ServiceError) as refusal:
        read(f"{HOST}/k?versionId=MTg0NDUxNTc1")
    assert refusal.value.code == "NotImplemented"


def test_a_question_mark_that_is_not_escaped() -> None:
    """A key with a raw question mark is not taken for its first half."""
    with pytest.raises(ServiceError) as refusal:
        read(f"{HOST}/what?.wav")
    assert "%3F" in refusal.value.message


@given(key=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=50))
def test_any_key_as_the_python_sdk_writes_it(key: str) -> None:
    """What the official SDK makes of a key leads back to it; it takes one leading slash away."""
    source = {"Bucket": BUCKET, "Region": REGION, "Key": key}
    meant = key.removeprefix("/").removeprefix("/")
    if meant:
        assert read(gen_copy_source_url(source, True, False))[2] == meant


@pytest.mark.parametrize(
    ("value", "span"), [("", (0, 10)), ("bytes=0-9", (0, 10)), ("bytes=3-3", (3, 4)), ("Bytes=0-0", (0, 1))]
)
def test_ranges(value: str, span: tuple[int, int]) -> None:
    """The header counts both ends in; the Python SDK sends an empty one for the whole object."""
    assert read_copy_range(value, 10) == span


@pytest.mark.parametrize(
    "value", ["bytes=0-10", "bytes=5-4", "bytes=-3", "bytes=3-", "0-3", "bytes=a-b", f"bytes=0-{'9' * 30}"]
)
def test_ranges_that_are_refused(value: str) -> None:
    """A range that is not wholly in the object is a mistake, and not cut."""
    with pytest.raises(ServiceError) as refusal:
        read_copy_range(value, 10)
    assert (refusal.value.status, refusal.value.code) == (400, "InvalidArgument")
