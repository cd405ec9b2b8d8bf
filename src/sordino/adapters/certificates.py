"""Certificates of one's own: an authority that is limited to the server's names, and the server's certificate."""

import ipaddress
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS: Final = 3650

LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_SERVICES: Final = (
    "service.cos.myqcloud.com",
    "service.cos.tencentcos.cn",
    "sts.tencentcloudapi.com",
)
# Where SDKs look for a region's services, the hosts they turn to when those fail, and the ones of the cloud's inside.
_REGIONAL: Final = (
    "cos.{}.myqcloud.com",
    "ci.{}.myqcloud.com",
    "cos.{}.tencentcos.cn",
    "cos-internal.{}.tencentcos.cn",
    "ci.{}.tencentci.cn",
)

# A clock that is behind must not find the new certificate to be of the future.
_LEEWAY: Final = timedelta(hours=1)
_WILDCARD: Final = "*."
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_NAME: Final = re.compile(rf"(?=.{{1,253}}$)(?:\*\.(?={_LABEL}\.))?{_LABEL}(?:\.{_LABEL})*")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class CertificateError(Exception):
    """A certificate cannot be made or used; the message says why and what to do."""


def read_pem(path: Path, absent: str) -> bytes:
    """The content of a file.

    Args:
        path: of the file.
        absent: what to say, after the path, when there is none.

    Raises:
        CertificateError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(f"{path} {absent}") from None
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a certificate is for.

    Attributes:
        dns: lower-case host names; a first label of ``*`` stands for any one label.
        addresses: IP addresses, each in its shortest form.
    """

    dns: tuple[str, ...]
    addresses: tuple[str, ...]

    @classmethod
    def parse(cls, hosts: Iterable[str]) -> Self:
        """Names in any order and form, each kept once.

        Raises:
            CertificateError: one is neither a DNS name nor an IP address.
        """
        dns: dict[str, None] = {}
        addresses: dict[str, None] = {}
        for host in hosts:
            if (address := _address(host)) is not None:
                addresses[address] = None
            else:
                dns[_dns_name(host)] = None
        return cls(dns=tuple(dns), addresses=tuple(addresses))

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """The names of a certificate; none when it has no list of them.

        Raises:
            CertificateError: what it holds cannot be read.
        """
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return cls(dns=(), addresses=())
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise CertificateError(f"the names of a certificate cannot be read: {error}") from error
        return cls(
            dns=tuple(name.lower() for name in names.get_values_for_type(x509.DNSName)),
            addresses=tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        )

    def cover(self, host: str) -> bool:
        """Whether a client that asks for this host, a name or an address, takes the certificate."""
        if (address := _address(host)) is not None:
            return address in self.addresses
        name = host.lower()
        return name in self.dns or f"{_WILDCARD}{name.partition('.')[2]}" in self.dns

    @property
    def domains(self) -> tuple[str, ...]:
        """The DNS names without their wildcards, each once."""
        return tuple(dict.fromkeys(name.removeprefix(_WILDCARD) for name in self.dns))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Each address as a network of that one address."""
        return tuple(ipaddress.ip_network(address) for address in self.addresses)

    def general(self) -> list[x509.GeneralName]:
        """The names as a certificate lists them."""
        addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in self.addresses]
        return [*(x509.DNSName(name) for name in self.dns), *addresses]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def key_pem(self) -> bytes:
        """The key as PEM (PKCS #8), without a passphrase."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM, one after the other."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who signs servers' certificates: the root that clients trust, and the issuer that it has signed."""

    root: x509.Certificate
    issuer: KeyPair


def cloud_hosts(regions: Sequence[str]) -> list[str]:
    """The host names that SDKs use in these regions of the cloud, with wildcards for buckets, and this machine's."""
    regional = [pattern.format(region) for region in regions for pattern in _REGIONAL]
    return [*(name for host in regional for name in (host, f"{_WILDCARD}{host}")), *_SERVICES, *LOCAL]


def make_authority(names: Names, now: datetime) -> Authority:
    """An authority that may sign for these names, and names below them, alone: whoever trusts it trusts no more.

    Java reads no constraints of what it trusts, only of what that has signed. So there are two: a root to be trusted,
    whose key is forgotten here, and the issuer, the only one that the root has ever signed for.

    Args:
        names: at least one DNS name and one address, since a kind of which nothing is allowed would be free.
        now: begin of its ten years.
    """
    root_key = ec.generate_private_key(ec.SECP256R1())
    issuer_key = ec.generate_private_key(ec.SECP256R1())
    # Under a name of its own each, or clients that know an older one would look no further.
    number = secrets.token_hex(6)
    root_name, issuer_name = _subject(f"Sordino root {number}"), _subject(f"Sordino issuer {number}")
    end = now + timedelta(days=CA_DAYS)
    root = _signing(_builder(root_name, root_name, root_key.public_key(), now, end), names, path_length=1)
    issuer = _signing(_builder(issuer_name, root_name, issuer_key.public_key(), now, end), names, path_length=0)
    signed = KeyPair(certificate=_signed(issuer, issuer_key, root_key), key=issuer_key)
    return Authority(root=_signed(root, root_key, root_key), issuer=signed)


def make_server(issuer: KeyPair, names: Names, now: datetime, days: int) -> KeyPair:
    """A server's certificate, which ends with its issuer's at the latest.

    Raises:
        CertificateError: the issuer has ended, or may not sign for one of the names.
    """
    _check_within(issuer.certificate, names)
    end = min(now + timedelta(days=days), issuer.certificate.not_valid_after_utc)
    if end <= now:
        raise CertificateError(f"the authority itself has ended, on {end:%Y-%m-%d}")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_subject("Sordino"), issuer.certificate.subject, key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(names.general()), critical=False)
    )
    return KeyPair(certificate=_signed(builder, key, issuer.key), key=key)


def _signing(builder: x509.CertificateBuilder, names: Names, *, path_length: int) -> x509.CertificateBuilder:
    """With what makes it an authority for these names."""
    permitted = [*map(x509.DNSName, names.domains), *map(x509.IPAddress, names.networks)]
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, excluded_subtrees=None), critical=True)
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    """For servers only, with the identifiers of both keys."""
    return (
        builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(end)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _check_within(authority: x509.Certificate, names: Names) -> None:
    """Refuse names that clients would refuse for the authority's constraints."""
    permitted = _permitted(authority)
    domains, networks = permitted.domains, permitted.networks
    outside = [name for name in names.dns if not _below(name.removeprefix(_WILDCARD), domains)]
    outside += [str(network.network_address) for network in names.networks if network not in networks]
    if outside:
        raise CertificateError(f"the authority may not sign for {', '.join(outside)}")


def _permitted(authority: x509.Certificate) -> Names:
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    allowed = constraints.permitted_subtrees or []
    return Names(
        dns=tuple(name.value for name in allowed if isinstance(name, x509.DNSName)),
        addresses=tuple(
            str(ipaddress.ip_network(name.value).network_address)
            for name in allowed
            if isinstance(name, x509.IPAddress)
        ),
    )


def _below(name: str, domains: Iterable[str]) -> bool:
    return any(name == domain or name.endswith(f".{domain}") for domain in domains)


def _address(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return None


def _dns_name(host: str) -> str:
    name = host.lower().removesuffix(".")
    # All digits and dots: meant for an address, and no client takes it for a name.
    if _DNS_NAME.fullmatch(name) is None or name.rpartition(".")[2].isdigit():
        raise CertificateError(
            f"{host!r} is neither a host name nor an IP address; write names such as sound.example or "
            "*.cos.sound.example in lower-case ASCII (xn--... for others), and addresses such as 192.0.2.7"
        )
    return name
