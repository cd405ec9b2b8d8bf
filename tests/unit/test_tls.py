"""The server's side of TLS: which certificates it takes, how it follows changed files, and what it speaks."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from handshakes import agree, client_context
from sordino.adapters.certificates import CertificateError, Names, cloud_hosts
from sordino.adapters.tls import Files, ServerTls
from sordino.adapters.tls_directory import CA, create, renew
from sordino.settings import SERVER_CERTIFICATE, SERVER_KEY

NOW = datetime.now(UTC)
NAMES = Names.parse(cloud_hosts(["ap-guangzhou"]))
DAYS = 100


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A ``tls`` directory with a certificate of a hundred days."""
    return create(tmp_path, NAMES, NOW, DAYS).directory


def files(directory: Path) -> Files:
    """The server's files in it."""
    return Files(certificate=directory / SERVER_CERTIFICATE, key=directory / SERVER_KEY)


def shown(tls: ServerTls, directory: Path) -> bytes:
    """The certificate that a new connection gets."""
    return agree(tls.context, client_context(directory / CA), "localhost").getpeercert(binary_form=True)


def new_key(**options) -> bytes:
    """A key of nobody as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = options.get("encryption", serialization.NoEncryption())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize("name", [SERVER_CERTIFICATE, SERVER_KEY])
def test_missing_file(directory, name):
    """A file that is not there is named, with the command that makes it and the settings that name others."""
    (directory / name).unlink()
    with pytest.raises(CertificateError) as refusal:
        ServerTls(files(directory))
    for part in (str(directory / name), "sordino admin tls", "SORDINO_TLS_CERTIFICATE", "SORDINO_TLS_KEY"):
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (SERVER_CERTIFICATE, b"", "holds no certificate as PEM"),
        (SERVER_CERTIFICATE, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate"),
        (SERVER_KEY, b"nonsense", "holds no private key as PEM"),
        (SERVER_KEY, new_key(), "does not belong to the certificate"),
        (SERVER_KEY, new_key(encryption=serialization.BestAvailableEncryption(b"word")), "is encrypted"),
    ],
)
def test_unfit_file(directory, name, content, told):
    """A file that holds something else is named, with what is wrong; nobody is asked for a passphrase."""
    (directory / name).write_bytes(content)
    with pytest.raises(CertificateError, match=told) as refusal:
        ServerTls(files(directory))
    assert str(directory / name) in str(refusal.value)


def test_unreadable_file(directory):
    """A file that cannot be read is named with the system's reason."""
    (directory / SERVER_KEY).unlink()
    (directory / SERVER_KEY).mkdir()
    with pytest.raises(CertificateError, match=r"server-key\.pem cannot be read: Is a directory"):
        ServerTls(files(directory))


@pytest.mark.parametrize(
    ("days", "told"), [(DAYS, "has ended, on .*--renew"), (-1, "is valid from .* on only; check this machine's clock")]
)
def test_out_of_its_time(directory, days, told):
    """A certificate that has ended, or has not begun, is refused with what to do."""
    with pytest.raises(CertificateError, match=told):
        ServerTls(files(directory), lambda: NOW + timedelta(days=days))


def test_one_file_for_both(directory):
    """Certificate and key may lie in one file, as some proxies want it."""
    both = directory / "both.pem"
    both.write_bytes((directory / SERVER_KEY).read_bytes() + (directory / SERVER_CERTIFICATE).read_bytes())
    assert shown(ServerTls(Files(certificate=both, key=both)), directory)


async def test_changed_files_are_taken(directory):
    """After a renewal new connections get the new certificate; unchanged files are left alone."""
    tls = ServerTls(files(directory))
    before = shown(tls, directory)
    await tls.refresh()
    assert shown(tls, directory) == before
    renew(directory.parent, Names.parse(["a.cos.ap-guangzhou.myqcloud.com", "localhost"]), NOW, DAYS)
    with capture_logs() as logs:
        await tls.refresh()
    assert shown(tls, directory) != before
    assert [entry["event"] for entry in logs] == ["took the changed certificate"]
    assert (tls.covers("a.cos.ap-guangzhou.myqcloud.com"), tls.covers("127.0.0.1")) == (True, False)


@pytest.mark.parametrize("content", [b"nonsense", new_key(), None], ids=["nonsense", "other key", "gone"])
async def test_unfit_changes_are_not_taken(directory, content):
    """While files do not fit, connections get the certificate from before, and it is said once; then the new one."""
    tls = ServerTls(files(directory))
    before = shown(tls, directory)
    key = directory / SERVER_KEY
    key.unlink()
    if content is not None:
        key.write_bytes(content)
    with capture_logs() as logs:
        await tls.refresh()
        await tls.refresh()
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert str(key) in logs[0]["error"]
    assert shown(tls, directory) == before
    renew(directory.parent, None, NOW, DAYS)
    await tls.refresh()
    assert shown(tls, directory) != before


@pytest.mark.parametrize(
    ("passed", "warnings_"), [([69], 0), ([71], 1), ([71, 71.5], 1), ([71, 72.5], 2), ([71, 101], 2)]
)
async def test_end_is_told_in_time(directory, passed, warnings_):
    """From thirty days before its end a certificate is warned of, once a day."""
    days = 0.0
    tls = ServerTls(files(directory), lambda: NOW + timedelta(days=days))
    with capture_logs() as logs:
        for days in passed:  # noqa: B007 - the clock above reads it
            await tls.refresh()
    assert [entry["log_level"] for entry in logs] == ["warning"] * warnings_


def client_of(version: ssl.TLSVersion, directory: Path) -> ssl.SSLContext:
    """A client that speaks one version of TLS alone, however old."""
    context = client_context(directory / CA)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_protocols_are_refused(directory, version):
    """The server speaks nothing older than TLS 1.2, to clients that would."""
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        agree(ServerTls(files(directory)).context, client_of(version, directory), "localhost")


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_protocols(directory, version, name):
    """TLS 1.2 and 1.3 are spoken, with forward secrecy and authenticated encryption, and HTTP/1.1 is agreed on."""
    client = client_of(version, directory)
    client.set_alpn_protocols(["h2", "http/1.1"])
    agreed = agree(ServerTls(files(directory)).context, client, "localhost")
    assert agreed.version() == name
    assert agreed.selected_alpn_protocol() == "http/1.1"
    cipher = agreed.cipher()[0]
    assert "GCM" in cipher or "CHACHA20" in cipher
    assert name == "TLSv1.3" or cipher.startswith("ECDHE")
