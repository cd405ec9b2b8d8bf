"""Certificates of one's own: for the right names, limited to them, and kept where nobody else reads them."""

import os
import shutil
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from handshakes import agree, client_context, server_context
from sordino.adapters import certificates
from sordino.adapters.certificates import CertificateError, Names, cloud_hosts
from sordino.adapters.tls_directory import CA, ISSUER, ISSUER_KEY, create, renew
from sordino.settings import SERVER_CERTIFICATE, SERVER_KEY

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = Names.parse(cloud_hosts(["ap-guangzhou"]))
YEAR = 365
FILES = {CA, ISSUER, ISSUER_KEY, SERVER_CERTIFICATE, SERVER_KEY}


def read(path: Path) -> x509.Certificate:
    """The first certificate of a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def extension(certificate: x509.Certificate, kind: type) -> x509.Extension:
    """The extension of that kind."""
    return certificate.extensions.get_extension_for_class(kind)


def test_server_certificate(tmp_path):
    """It names the cloud's hosts and this machine, serves TLS alone, has a P-256 key, and lasts as long as asked."""
    made = create(tmp_path, NAMES, NOW, YEAR)
    found = read(made.directory / SERVER_CERTIFICATE)
    names = extension(found, x509.SubjectAlternativeName).value
    dns = names.get_values_for_type(x509.DNSName)
    for name in ("cos.ap-guangzhou.myqcloud.com", "ci.ap-guangzhou.myqcloud.com", "cos.ap-guangzhou.tencentcos.cn"):
        assert {name, f"*.{name}"} <= set(dns)
    assert {"*.ci.ap-guangzhou.tencentci.cn", "service.cos.myqcloud.com", "localhost"} <= set(dns)
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert isinstance(found.public_key().curve, ec.SECP256R1)
    assert extension(found, x509.BasicConstraints).value == x509.BasicConstraints(ca=False, path_length=None)
    usage = extension(found, x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert list(extension(found, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert found.not_valid_after_utc == NOW + timedelta(days=YEAR) == made.end
    assert found.not_valid_before_utc < NOW


@pytest.mark.parametrize(("file", "below"), [(CA, 1), (ISSUER, 0)])
def test_authority_is_limited(tmp_path, file, below):
    """Root and issuer may sign, for servers of these names alone, and the issuer for no further authority."""
    found = read(create(tmp_path, NAMES, NOW, YEAR).directory / file)
    constraints = extension(found, x509.NameConstraints)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees
    assert {name.value for name in permitted if isinstance(name, x509.DNSName)} == set(NAMES.domains)
    assert {str(name.value) for name in permitted if isinstance(name, x509.IPAddress)} == {"127.0.0.1/32", "::1/128"}
    basic = extension(found, x509.BasicConstraints)
    assert (basic.critical, basic.value) == (True, x509.BasicConstraints(ca=True, path_length=below))
    assert extension(found, x509.KeyUsage).value.key_cert_sign
    assert list(extension(found, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_key_of_the_root_is_forgotten(tmp_path):
    """No file holds the root's key: a thief of them all can sign for these names only, also to Java."""
    directory = create(tmp_path, NAMES, NOW, YEAR).directory
    assert {path.name for path in directory.iterdir()} == FILES
    root = read(directory / CA).public_key()
    for name in (ISSUER_KEY, SERVER_KEY):
        key = serialization.load_pem_private_key((directory / name).read_bytes(), None)
        assert key.public_key() != root


@pytest.mark.parametrize(
    "host", ["music-1.cos.ap-guangzhou.myqcloud.com", "ci.ap-guangzhou.myqcloud.com", "localhost", "127.0.0.1", "::1"]
)
def test_clients_accept_it(tmp_path, host):
    """A client that trusts the root, and checks by all rules of RFC 5280, takes the certificate for its names."""
    directory = create(tmp_path, NAMES, NOW, YEAR).directory
    client = client_context(directory / CA)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    agree(server_context(directory), client, host)


@pytest.mark.parametrize("host", ["myqcloud.com", "a.b.cos.ap-guangzhou.myqcloud.com", "127.0.0.2", "sordino.example"])
def test_clients_refuse_it_for_others(tmp_path, host):
    """For any other name they do not."""
    directory = create(tmp_path, NAMES, NOW, YEAR).directory
    with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid for"):
        agree(server_context(directory), client_context(directory / CA), host)


@pytest.mark.parametrize("host", ["bank.example", "cos.ap-beijing.myqcloud.com", "192.0.2.7"])
def test_clients_refuse_what_the_issuer_may_not_sign(tmp_path, monkeypatch, host):
    """Whoever steals the issuer's key cannot pass for others: clients that trust the root see its limits."""
    directory = create(tmp_path, NAMES, NOW, YEAR).directory
    monkeypatch.setattr(certificates, "_check_within", lambda issuer, names: None)
    renew(tmp_path, Names.parse([host]), NOW, YEAR)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        agree(server_context(directory), client_context(directory / CA), host)


def test_files_are_private(tmp_path):
    """Nobody else enters the directory or reads a key, whatever the umask says."""
    before = os.umask(0)
    try:
        directory = create(tmp_path / "data", NAMES, NOW, YEAR).directory
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for name in (ISSUER_KEY, SERVER_KEY):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_the_files_to_the_owner_of_the_data(tmp_path):
    """Made by root for a service of another account, that account can read them, also after a renewal."""
    os.chown(tmp_path, 12345, 23456)
    directory = create(tmp_path, NAMES, NOW, YEAR).directory
    renew(tmp_path, None, NOW, YEAR)
    for path in (directory, *directory.iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456), path


def test_what_is_there_is_not_overwritten(tmp_path):
    """A second time is refused with what to do, and nothing changes or stays behind."""
    directory = create(tmp_path, NAMES, NOW, YEAR).directory
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(CertificateError, match=r"holds certificates already\. --renew"):
        create(tmp_path, NAMES, NOW, YEAR)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert list(tmp_path.iterdir()) == [directory]


def test_renewal_keeps_the_authority(tmp_path):
    """The new certificate has a new key and the same names, and who trusted the root trusts it."""
    directory = create(tmp_path, Names.parse([*cloud_hosts(["ap-x"]), "*.sound.example"]), NOW, 1).directory
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    made = renew(tmp_path, None, NOW, YEAR)
    after = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert {name for name in FILES if before[name] != after[name]} == {SERVER_CERTIFICATE, SERVER_KEY}
    assert set(after) == FILES
    assert "*.sound.example" in made.names.dns
    agree(server_context(directory), client_context(directory / CA), "a.sound.example")


def test_renewal_for_fewer_names(tmp_path):
    """Names that are given replace those of the present certificate."""
    create(tmp_path, NAMES, NOW, YEAR)
    made = renew(tmp_path, Names.parse(["a.cos.ap-guangzhou.myqcloud.com", "127.0.0.1"]), NOW, YEAR)
    assert made.names == Names(dns=("a.cos.ap-guangzhou.myqcloud.com",), addresses=("127.0.0.1",))


@pytest.mark.parametrize("host", ["bank.example", "192.0.2.7", "xcos.ap-guangzhou.myqcloud.com", "*.myqcloud.com"])
def test_renewal_beyond_the_authority(tmp_path, host):
    """Names that clients would refuse are refused, with what to do, and the certificate stays."""
    directory = create(tmp_path, NAMES, NOW, YEAR).directory
    before = (directory / SERVER_CERTIFICATE).read_bytes()
    with pytest.raises(CertificateError) as refusal:
        renew(tmp_path, Names.parse([host]), NOW, YEAR)
    assert f"may not sign for {host}" in str(refusal.value)
    assert "Move" in str(refusal.value)
    assert (directory / SERVER_CERTIFICATE).read_bytes() == before


def test_certificate_ends_with_its_authority(tmp_path):
    """It lasts no longer than the authority, and one whose time is over makes none."""
    create(tmp_path, NAMES, NOW, YEAR)
    end = NOW + timedelta(days=certificates.CA_DAYS)
    assert renew(tmp_path, None, end - timedelta(days=3), YEAR).end == end
    with pytest.raises(CertificateError, match="authority itself has ended"):
        renew(tmp_path, None, end, YEAR)


def test_renewal_without_an_authority(tmp_path):
    """There is nothing to renew before there is anything."""
    with pytest.raises(CertificateError, match="leave out --renew"):
        renew(tmp_path, None, NOW, YEAR)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (ISSUER, b"nonsense", "holds no certificate"),
        (ISSUER_KEY, b"nonsense", "holds no private key"),
        (ISSUER_KEY, None, "is not the key of"),
    ],
)
def test_renewal_with_damaged_files(tmp_path, file, content, told):
    """Files that are damaged, or of another authority, are named."""
    directory = create(tmp_path, NAMES, NOW, YEAR).directory
    if content is None:
        shutil.copy(directory / SERVER_KEY, directory / file)
    else:
        (directory / file).write_bytes(content)
    with pytest.raises(CertificateError, match=told) as refusal:
        renew(tmp_path, None, NOW, YEAR)
    assert str(directory / file) in str(refusal.value)


def test_place_that_cannot_be_written(tmp_path):
    """A data directory that cannot be made is told in one sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match="cannot be written: Not a directory"):
        create(tmp_path / "file" / "data", NAMES, NOW, YEAR)


@pytest.mark.parametrize(
    "host",
    [
        *("", "a b", "*", "*.example.*", "a.*.example", "http://a.example", "a.example:443", "ä.example"),
        *("10.0.0.0/8", "256.1.1.1", "a" * 64 + ".example", ".example", "a..example", "-a.example"),
    ],
)
def test_names_that_are_none(host):
    """What is neither a host name nor an address is named in the refusal."""
    with pytest.raises(CertificateError, match="is neither a host name nor an IP address") as refusal:
        Names.parse([host])
    assert repr(host) in str(refusal.value)


def test_names_in_every_spelling():
    """Case, a final dot, brackets and repetition make no difference."""
    names = Names.parse(["A.Example.", "a.example", "[::1]", "0:0::1", "*.B.example"])
    assert names == Names(dns=("a.example", "*.b.example"), addresses=("::1",))


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("a.example", True),
        ("A.EXAMPLE", True),
        ("x.b.example", True),
        ("b.example", False),
        ("y.x.b.example", False),
        ("[::1]", True),
        ("::2", False),
        ("", False),
    ],
)
def test_what_names_cover(host, covered):
    """A wildcard stands for exactly one label; addresses are compared as such."""
    assert Names.parse(["a.example", "*.b.example", "::1"]).cover(host) is covered
