"""The directory ``tls`` of the data directory: the authority and the server's certificate that we made ourselves.

``ca.pem`` is what clients trust, ``issuer.pem`` with its key signs, and the server shows ``server.pem``.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sordino.adapters.certificates import (
    Authority,
    CertificateError,
    KeyPair,
    Names,
    make_authority,
    make_server,
    pem,
    read_pem,
)
from sordino.adapters.data_directory import make_directory
from sordino.settings import SERVER_CERTIFICATE, SERVER_KEY, TLS

CA: Final = "ca.pem"
ISSUER: Final = "issuer.pem"
ISSUER_KEY: Final = "issuer-key.pem"

_SECRETS: Final = frozenset({ISSUER_KEY, SERVER_KEY})
_NOT_THERE: Final = "is not there, so there is nothing to renew; leave out --renew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was made: the directory, the names of the server's certificate, and its end."""

    directory: Path
    names: Names
    end: datetime


def create(data: Path, names: Names, now: datetime, days: int) -> Made:
    """Make an authority for these names, and a server's certificate; all of it is there afterwards, or nothing.

    Raises:
        CertificateError: there are certificates already, or the directory cannot be written.
    """
    directory = data.absolute() / TLS
    authority = make_authority(names, now)
    server = make_server(authority.issuer, names, now, days)
    try:
        _place(directory, _contents(authority, server))
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise CertificateError(
                f"{directory} holds certificates already. --renew makes a new server certificate that clients trust "
                "as they do the present one; to begin anew, move that directory away, and have clients trust the "
                f"new {CA}"
            ) from None
        raise _cannot_write(directory, error) from error
    return _made(directory, server)


def renew(data: Path, names: Names | None, now: datetime, days: int) -> Made:
    """Make a new server certificate by the authority that is there, for the names of the present one if not told.

    Raises:
        CertificateError: there is no authority that could sign for them, or the directory cannot be written.
    """
    directory = data.absolute() / TLS
    issuer = _read_issuer(directory)
    wanted = names or Names.of(_read_certificate(directory / SERVER_CERTIFICATE))
    try:
        server = make_server(issuer, wanted, now, days)
    except CertificateError as error:
        raise CertificateError(
            f"{error}. Move {directory} away, make new ones without --renew, and have clients trust the new {CA}"
        ) from None
    try:
        # The key first: whoever reads between the two finds a certificate without its key, and reads again.
        for name in (SERVER_KEY, SERVER_CERTIFICATE):
            draft = directory / f".{name}.draft"
            draft.unlink(missing_ok=True)
            _write(draft, _server_contents(server, issuer.certificate)[name], _mode(name), _owner(directory))
            draft.replace(directory / name)
    except OSError as error:
        raise _cannot_write(directory, error) from error
    return _made(directory, server)


def _contents(authority: Authority, server: KeyPair) -> Mapping[str, bytes]:
    issuer = authority.issuer
    return {
        CA: pem(authority.root),
        ISSUER: pem(issuer.certificate),
        ISSUER_KEY: issuer.key_pem,
        **_server_contents(server, issuer.certificate),
    }


def _server_contents(server: KeyPair, issuer: x509.Certificate) -> Mapping[str, bytes]:
    return {SERVER_CERTIFICATE: pem(server.certificate, issuer), SERVER_KEY: server.key_pem}


def _made(directory: Path, server: KeyPair) -> Made:
    return Made(directory=directory, names=Names.of(server.certificate), end=server.certificate.not_valid_after_utc)


def _place(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write a new directory, which appears whole or not at all."""
    make_directory(directory.parent)
    owner = _owner(directory.parent)
    scratch = Path(tempfile.mkdtemp(prefix=f".{TLS}-", dir=directory.parent))
    try:
        for name, content in contents.items():
            _write(scratch / name, content, _mode(name), owner)
        os.chown(scratch, *owner)
        # Fails when there is a directory with anything in it.
        scratch.rename(directory)
    except BaseException:
        shutil.rmtree(scratch)
        raise


def _mode(name: str) -> int:
    return 0o600 if name in _SECRETS else 0o644


def _write(path: Path, content: bytes, mode: int, owner: tuple[int, int]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _owner(directory: Path) -> tuple[int, int]:
    """Whom new files belong to: as root the owner of the directory, whose service is to read them."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    found = directory.stat()
    return found.st_uid, found.st_gid


def _read_issuer(directory: Path) -> KeyPair:
    certificate = _read_certificate(directory / ISSUER)
    path = directory / ISSUER_KEY
    try:
        key = serialization.load_pem_private_key(read_pem(path, _NOT_THERE), None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{path} holds no private key that can be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateError(f"{path} is not the key of {directory / ISSUER}")
    return KeyPair(certificate=certificate, key=key)


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_pem(path, _NOT_THERE))
    except ValueError as error:
        raise CertificateError(f"{path} holds no certificate that can be read") from error


def _cannot_write(directory: Path, error: OSError) -> CertificateError:
    return CertificateError(f"{directory} cannot be written: {error.strerror}")
