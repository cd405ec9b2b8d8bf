"""Where the objects of mounted buckets lie, as operators write it."""

import pytest

from sordino.domain.mount import parse_location


@pytest.mark.parametrize(
    ("url", "endpoint", "region", "expected"),
    [
        ("s3://music", None, None, "https://music.s3.us-east-1.amazonaws.com/dir/a%20b"),
        ("s3://music", None, "eu-west-1", "https://music.s3.eu-west-1.amazonaws.com/dir/a%20b"),
        ("s3://my.music", None, None, "https://s3.us-east-1.amazonaws.com/my.music/dir/a%20b"),
        ("s3://music/sub/dir/", None, None, "https://music.s3.us-east-1.amazonaws.com/sub/dir/dir/a%20b"),
        ("s3://music/x", "http://127.0.0.1:9000", None, "http://127.0.0.1:9000/music/x/dir/a%20b"),
        ("s3://music", "https://minio.example:443/", None, "https://minio.example/music/dir/a%20b"),
        ("s3://music", "http://[::1]:9000", None, "http://[::1]:9000/music/dir/a%20b"),
        ("s3://music", "https://music.store.example", None, "https://music.store.example/dir/a%20b"),
        ("cos://music-125", None, "ap-beijing", "https://music-125.cos.ap-beijing.myqcloud.com/dir/a%20b"),
        ("cos://music-125/p", "https://cos.own.example", "r", "https://cos.own.example/music-125/p/dir/a%20b"),
    ],
)
def test_locations(url: str, endpoint: str | None, region: str | None, expected: str) -> None:
    """The cloud's addresses, and those of other stores, with the bucket in the host or in the path."""
    location = parse_location(url, endpoint, region)
    assert location.endpoint + location.path("dir/a b") == expected


@pytest.mark.parametrize("key", ["/lead", "a//b", "a/../b", "dir/", "é?#%+&"])
def test_every_key_has_a_path(key: str) -> None:
    """Keys are escaped, and otherwise left as they are."""
    path = parse_location("s3://music/p", "http://h").path(key)
    assert path.startswith("/music/p/")
    assert not set(path) & set("?#+&é")
    assert path.count("/") == key.count("/") + 3


@pytest.mark.parametrize(
    ("url", "endpoint", "region", "hint"),
    [
        ("music", None, None, "write s3://bucket"),
        ("gs://music", None, None, "write s3://bucket"),
        ("s3://", None, None, "write s3://bucket"),
        ("s3://key:secret@music", None, None, "write s3://bucket"),
        ("s3://music?x=1", None, None, "write s3://bucket"),
        ("s3://mu sic", None, None, "write s3://bucket"),
        ("s3://music/a//b", None, None, "prefix"),
        ("s3://music/../b", None, None, "prefix"),
        ("cos://music-125", None, None, "--region"),
        ("cos://music", None, "ap-beijing", "no bucket of COS"),
        ("s3://music", "minio.example", None, "https://host"),
        ("s3://music", "ftp://minio.example", None, "https://host"),
        ("s3://music", "https://key:secret@minio.example", None, "https://host"),
        ("s3://music", "https://minio.example/path", None, "https://host"),
        ("s3://music", "https://minio.example:port", None, "https://host"),
    ],
)
def test_what_is_written_wrong(url: str, endpoint: str | None, region: str | None, hint: str) -> None:
    """Is refused with how to write it, and is not repeated where it may hold a secret."""
    with pytest.raises(ValueError, match=hint) as refusal:
        parse_location(url, endpoint, region)
    assert "secret" not in str(refusal.value)
