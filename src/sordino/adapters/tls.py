"""The server's side of TLS: its certificate checked before it is used, and read again when its files change."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from sordino.adapters.certificates import CertificateError, Names, read_pem

log = structlog.get_logger(__name__)

SOON: Final = timedelta(days=30)
"""Before its end by this, a certificate is warned of."""

_DAY: Final = timedelta(days=1)
_NOT_THERE: Final = (
    "is not there. Make a certificate with `sordino admin tls`, or name yours with SORDINO_TLS_CERTIFICATE and "
    "SORDINO_TLS_KEY"
)
_AGAIN: Final = "`sordino admin tls --renew` makes a new one, if it was made by `sordino admin tls`"

Stamp = tuple[tuple[int, int, int] | None, ...]


def now_utc() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where a certificate, with those of who signed it, and its private key lie as PEM; it may be one file."""

    certificate: Path
    key: Path

    def check(self, now: datetime) -> x509.Certificate:
        """The certificate, found fit for use.

        Raises:
            CertificateError: a file is missing or cannot be read, they do not belong together, or it is not the time of
                the certificate.
        """
        certificate = _certificate(self.certificate)
        if _public_bytes(_private_key(self.key).public_key()) != _public_bytes(certificate.public_key()):
            raise CertificateError(f"the key {self.key} does not belong to the certificate {self.certificate}")
        if now >= certificate.not_valid_after_utc:
            raise CertificateError(
                f"the certificate {self.certificate} has ended, on {_day(certificate.not_valid_after_utc)}. {_AGAIN}"
            )
        if now < certificate.not_valid_before_utc:
            raise CertificateError(
                f"the certificate {self.certificate} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} "
                "UTC on only; check this machine's clock"
            )
        return certificate

    def stamp(self) -> Stamp:
        """What changes when one of the files does."""
        return tuple(_stamp(path) for path in (self.certificate, self.key))


class ServerTls:
    """What connections are encrypted with.

    Attributes:
        context: for all of them; its certificate is exchanged while it is in use.
    """

    def __init__(self, files: Files, now: Callable[[], datetime] = now_utc) -> None:
        """Load the certificate.

        Raises:
            CertificateError: it is not fit for use.
        """
        self._files = files
        self._now = now
        self._warned_at: datetime | None = None
        self.context = _context()
        self._load()

    def covers(self, host: str) -> bool:
        """Whether the certificate is for this host, a name or an address."""
        return self._names.cover(host)

    async def refresh(self) -> None:
        """Take a changed certificate for new connections; keep the present one, and say so, when it is not fit.

        Warns of a certificate that ends soon, once a day.
        """
        try:
            if self._files.stamp() != self._stamp:
                self._load()
                log.info("took the changed certificate", until=_day(self._certificate.not_valid_after_utc))
        except CertificateError as error:
            # Files that are being exchanged do not fit for a moment; what stays wrong is told once a day.
            self._warn_daily("the changed certificate cannot be used; keeping the one from before", error=str(error))
            return
        self._warn()

    def _load(self) -> None:
        stamp = self._files.stamp()
        certificate = self._files.check(self._now())
        names = Names.of(certificate)
        # On one that nobody uses first: a failure could leave the living one with a certificate and no key.
        _take(_context(), self._files)
        _take(self.context, self._files)
        self._certificate, self._names, self._stamp, self._warned_at = certificate, names, stamp, None

    def _warn(self) -> None:
        end = self._certificate.not_valid_after_utc
        if self._now() > end - SOON:
            self._warn_daily("the TLS certificate ends soon, or has ended; renew it", end=_day(end))

    def _warn_daily(self, event: str, **details: str) -> None:
        now = self._now()
        if self._warned_at is None or now - self._warned_at >= _DAY:
            self._warned_at = now
            log.warning(event, certificate=str(self._files.certificate), **details)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _take(context: ssl.SSLContext, files: Files) -> None:
    try:
        context.load_cert_chain(files.certificate, files.key)
    except OSError as error:  # ssl.SSLError is one
        raise CertificateError(f"{files.certificate} and {files.key} cannot be used: {error}") from error


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_pem(path, _NOT_THERE))
    except ValueError as error:
        raise CertificateError(f"{path} holds no certificate as PEM (-----BEGIN CERTIFICATE-----)") from error


def _private_key(path: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(read_pem(path, _NOT_THERE), None)
    except TypeError:
        raise CertificateError(
            f"the key {path} is encrypted; keep it without a passphrase, readable by us only"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{path} holds no private key as PEM (-----BEGIN PRIVATE KEY-----)") from error


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:  # Reading the file tells why.
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
