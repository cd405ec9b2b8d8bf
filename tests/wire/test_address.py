import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sordino.errors import ServiceError
from sordino.wire.address import Service, Style, resolve

COS, CI = Service.COS, Service.CI
VIRTUAL, PATH, DEFAULT, BUCKETLESS = Style.VIRTUAL_HOSTED, Style.PATH, Style.DEFAULT, Style.BUCKETLESS
B = "test-1250000000"


def address(host, target=b"/", *, default_bucket=None, ci_on_any_host=True):
    """Resolve with the settings most tests want."""
    return resolve(host, target, default_bucket=default_bucket, ci_on_any_host=ci_on_any_host)


def refusal(host, target=b"/", **settings):
    """The code ``resolve`` refuses with."""
    with pytest.raises(ServiceError) as refused:
        address(host, target, **settings)
    return refused.value.code


@pytest.mark.parametrize(
    ("host", "service", "bucket", "region", "style"),
    [
        (f"{B}.cos.ap-chongqing.myqcloud.com", COS, B, "ap-chongqing", VIRTUAL),
        (f"{B}.ci.ap-chongqing.myqcloud.com", CI, B, "ap-chongqing", VIRTUAL),
        (f"{B}.cos.ap-chongqing.tencentcos.cn", COS, B, "ap-chongqing", VIRTUAL),
        (f"{B}.cos-internal.ap-chongqing.tencentcos.cn", COS, B, "ap-chongqing", VIRTUAL),
        (f"{B}.ci.ap-chongqing.tencentci.cn", CI, B, "ap-chongqing", VIRTUAL),
        (f"{B}.cos.ap-beijing-1.any.suffix.example:8000", COS, B, "ap-beijing-1", VIRTUAL),
        (f"{B.upper()}.COS.AP-CHONGQING.MYQCLOUD.COM", COS, B, "ap-chongqing", VIRTUAL),
        (f"{B}.cos.ap-chongqing.myqcloud.com.", COS, B, "ap-chongqing", VIRTUAL),
        (f"{B}.cos.ap-chongqing.myqcloud.com:", COS, B, "ap-chongqing", VIRTUAL),
        (f"{B}.cos.accelerate.myqcloud.com", COS, B, None, VIRTUAL),
        (f"{B}.cos.localhost:8000", COS, B, None, VIRTUAL),
        (f"{B}.ci", CI, B, None, VIRTUAL),
        ("a-b--c-1.cos.ap-x.y", COS, "a-b--c-1", "ap-x", VIRTUAL),
        ("ci.ap-chongqing.myqcloud.com", CI, None, "ap-chongqing", BUCKETLESS),
        ("cos.ap-chongqing.myqcloud.com:80", COS, None, "ap-chongqing", BUCKETLESS),
        ("service.cos.myqcloud.com", COS, None, None, BUCKETLESS),
        ("service.cos.tencentcos.cn", COS, None, None, BUCKETLESS),
        ("localhost", COS, None, None, BUCKETLESS),
        ("cos:8000", COS, None, None, BUCKETLESS),
        ("127.0.0.1:8000", COS, None, None, BUCKETLESS),
        ("[::1]:8000", COS, None, None, BUCKETLESS),
        ("[2001:DB8::1]", COS, None, None, BUCKETLESS),
        ("my_server.example.org", COS, None, None, BUCKETLESS),
        ("", COS, None, None, BUCKETLESS),
    ],
)
def test_hosts(host, service, bucket, region, style):
    """Bucket, service and region are read from any host of the documented forms, whatever its suffix, port and case."""
    found = address(host)
    assert (found.service, found.bucket, found.region, found.style) == (service, bucket, region, style)
    assert found.path == "/"


@pytest.mark.parametrize("label", ["test", "test-", "-1250000000", "te_st-1", "-a-1", "a-1x", f"{'a' * 60}-1"])
def test_bad_bucket_labels(label):
    """A host of bucket form whose label is no bucket name is refused as such."""
    assert refusal(f"{label}.cos.ap-chongqing.myqcloud.com") == "InvalidBucketName"


@pytest.mark.parametrize(
    "host", ["a b", "a/b", "host:port", "host:123456", "[::1", "::1", "h\u00f6st", "a\0b", "u@h", "h:1:2"]
)
def test_bad_hosts(host):
    """What is no host at all is refused as such."""
    assert refusal(host) == "InvalidHost"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"/in%2Fa%20b", "/in/a b"),
        (b"/a/./b/../c", "/a/./b/../c"),
        (b"/.%2Fa", "/./a"),
        (b"//a//b//", "//a//b//"),
        (b"/a+b%2Bc", "/a+b+c"),
        (b"/%25zz", "/%zz"),
        (b"/%e4%B8%ad", "/中"),
        ("/中".encode(), "/中"),
        (b"/a;b=c,d", "/a;b=c,d"),
        (b"/jobs/s1%2Cs2", "/jobs/s1,s2"),
        (b"/%0A%09", "/\n\t"),
        (b"/a%3Fb#c", "/a?b#c"),
    ],
)
def test_paths_are_decoded_once_and_left_alone(target, path):
    """Escapes are decoded once; slashes, dots and pluses stay as they are."""
    found = address(f"{B}.cos.ap-x.y", target)
    assert found.path == path
    assert found.signed_paths == (path,)


@pytest.mark.parametrize(
    "target",
    [
        *(b"/%", b"/%4", b"/%zz", b"/%+1", b"/%ff", b"/%c0%80", b"/%ed%a0%80", b"/\xff", b"/a%00b"),
        *(b"", b"*", b"key", b"host:80", b"ftp://h/k", b"http:///k", b"http://", b"http:/k"),
    ],
)
def test_bad_targets(target):
    """Broken escapes, foreign encodings, NUL and targets of other forms are refused."""
    assert refusal(f"{B}.cos.ap-x.y", target) == "InvalidURI"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (f"http://{B}.ci.ap-x.y/jobs".encode(), "/jobs"),
        (f"HTTP://{B}.ci.ap-x.y:80/a//b".encode(), "/a//b"),
        (f"https://{B}.ci.ap-x.y".encode(), "/"),
    ],
)
def test_absolute_form_wins_over_the_host_header(target, path):
    """A client that takes the server for a proxy names the host in the target, and only that counts (RFC 9112)."""
    found = address("other-1.cos.ap-z.y:3128", target)
    assert (found.service, found.bucket, found.region, found.path) == (CI, B, "ap-x", path)
    assert f"{B}.ci.ap-x.y" in found.signed_hosts


def test_absolute_form_with_a_bad_host():
    """The host of an absolute target is held to the same rules."""
    assert refusal("h", b"http://user@h/k") == "InvalidHost"
    assert refusal("h", b"http://bad.cos.ap-x.y/k") == "InvalidBucketName"


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:1", "cos.ap-x.y", "ci.ap-x.y"])
@pytest.mark.parametrize(
    ("target", "path", "full"),
    [
        (f"/{B}/in/a.wav".encode(), "/in/a.wav", f"/{B}/in/a.wav"),
        (f"/{B}//a/".encode(), "//a/", f"/{B}//a/"),
        (f"/{B}/".encode(), "/", f"/{B}/"),
        (f"/{B}".encode(), "/", f"/{B}"),
        (f"/{B}/{B}/k".encode(), f"/{B}/k", f"/{B}/{B}/k"),
    ],
)
def test_path_style(host, target, path, full):
    """On a host without a bucket, a first segment of bucket form is the bucket; either path may have been signed."""
    found = address(host, target, default_bucket="other-1")
    assert (found.bucket, found.path, found.style) == (B, path, PATH)
    assert found.signed_paths == (path, full)


def test_a_bucket_host_has_no_path_style():
    """With the bucket in the host, a first segment of bucket form belongs to the key."""
    found = address(f"{B}.cos.ap-x.y", b"/other-1/k")
    assert (found.bucket, found.path, found.style) == (B, "/other-1/k", VIRTUAL)


@pytest.mark.parametrize("target", [b"/UPPER-1/k", b"/nodigits/k", b"/-1/k", b"//test-1/k"])
def test_other_first_segments_are_part_of_the_key(target):
    """What has not the form of a bucket name is not taken for one."""
    assert address("localhost", target).bucket is None


def test_default_bucket():
    """A bare server name stands for the configured bucket; COS's and CI's own bucket-less hosts do not."""
    found = address("127.0.0.1:8000", b"/in/a.wav", default_bucket=B)
    assert (found.service, found.bucket, found.path, found.style) == (COS, B, "/in/a.wav", DEFAULT)
    for host in ("service.cos.myqcloud.com", "cos.ap-x.y", "ci.ap-x.y"):
        assert address(host, default_bucket=B).bucket is None


CI_PATHS = [
    "/jobs",
    "/jobs/j1,j2",
    "/template",
    "/template/t1",
    "/asrqueue",
    "/asrqueue/p1",
    "/queue/p1",
    "/picqueue",
    "/ai_queue",
    "/asrbucket",
    "/ai_bucket",
    "/mediabucket",
    "/asr_jobs/x",
    "/ai_jobs",
]
OBJECT_PATHS = [
    "/",
    "/jobs.txt",
    "/jobsx",
    "/in/jobs",
    "//jobs",
    "/Jobs",
    "/jobs/",
    "/jobs/talk.wav",
    "/queue/2026/talk",
    "/template/%E6%A8%A1",
    "/asrbucket/x",
    "/template.xml",
    "/queues",
]


@pytest.mark.parametrize("path", CI_PATHS)
@pytest.mark.parametrize("host", [f"{B}.cos.ap-x.y", "127.0.0.1:8000", "cos.ap-x.y"])
def test_ci_paths_on_any_host(path, host):
    """CI's paths are CI calls on COS and bare hosts while the setting is on, as Python's IP mode needs."""
    target = path.encode()
    assert address(host, target).service is CI
    assert address(host, target, ci_on_any_host=False).service is COS
    assert address(host, f"/{B}".encode() + target).service is (COS if host.startswith(B) else CI)


@pytest.mark.parametrize("path", OBJECT_PATHS)
def test_other_paths_stay_objects(path):
    """Keys that merely resemble CI's paths remain objects."""
    assert address(f"{B}.cos.ap-x.y", path.encode()).service is COS


@pytest.mark.parametrize("path", CI_PATHS + OBJECT_PATHS)
def test_a_ci_host_is_always_ci(path):
    """On a CI host every path is CI's."""
    assert address(f"{B}.ci.ap-x.y", path.encode(), ci_on_any_host=False).service is CI


def test_signed_hosts():
    """A client may have signed the host as sent, without its port, or in lower case."""
    assert address("Host.Example:8000").signed_hosts == (
        "Host.Example:8000",
        "Host.Example",
        "host.example:8000",
        "host.example",
    )
    assert address("[::1]:80").signed_hosts == ("[::1]:80", "[::1]")


hosts = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(["cos", "ci", "service", "cos-internal", B, "ap-x", "", "a", "*", "[::1]", ":80"])).map(
        ".".join
    ),
)
targets = st.one_of(
    st.binary(max_size=80),
    st.lists(st.sampled_from([b"/", b"http://", B.encode(), b"jobs", b"%", b"2F", b"%2f", b".", b"@", b":"])).map(
        b"".join
    ),
)


@given(host=hosts, target=targets, default_bucket=st.sampled_from([None, B]), ci_on_any_host=st.booleans())
@example(host="..", target=b"http://../", default_bucket=None, ci_on_any_host=True)
def test_anything_resolves_or_is_refused(host, target, default_bucket, ci_on_any_host):
    """No host and no target raises anything but a refusal, and what resolves is coherent."""
    try:
        found = address(host, target, default_bucket=default_bucket, ci_on_any_host=ci_on_any_host)
    except ServiceError:
        return
    assert found.path.startswith("/")
    assert found.signed_paths[0] == found.path
    assert (found.bucket is None) == (found.style is BUCKETLESS)
