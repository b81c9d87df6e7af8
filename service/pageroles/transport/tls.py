"""TLS: certificates of servers, which may be renewed while they serve, and what clients trust and show."""

from __future__ import annotations

import ssl
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
import structlog

from pageroles.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pageroles.settings import ClientTls, ServerTls

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class _Renewed(Generic[_T]):
    """What is made from files, and made anew when they change; safe to use from many threads."""

    def __init__(self, files: Sequence[Path], make: Callable[[], _T]) -> None:
        """Make it.

        Raises:
            SettingError: As `make` does.
        """
        self._files = files
        self._make = make
        self._lock = threading.Lock()
        self._state = self._look()
        self._value = make()

    def get(self) -> _T:
        """Return it as the files are now; as it was where they can't be used, such as half of them renewed."""
        with self._lock:
            if (state := self._look()) != self._state:
                self._state = state
                try:
                    self._value = self._make()
                except SettingError as error:
                    _log.warning("renewed TLS files can't be used; those before stay in use", reason=str(error))
                else:
                    _log.info("TLS files renewed")
            return self._value

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_state(file) for file in self._files]


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Return credentials for a gRPC server that takes renewed files up with each connection.

    Raises:
        SettingError: The files can't be used.
    """
    renewed = _Renewed(_files(tls), lambda: _configuration(tls))
    given = first = renewed.get()

    def fetch() -> Any:
        nonlocal given
        before, given = given, renewed.get()
        return None if given is before else given

    return grpc.dynamic_ssl_server_credentials(first, fetch, require_client_authentication=tls.client_ca is not None)


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Return a context for an HTTP server that takes renewed files up with each connection.

    Raises:
        SettingError: The files can't be used.
    """
    context = _RenewedContext(ssl.PROTOCOL_TLS_SERVER)
    context.renewed = _Renewed(_files(tls), lambda: _plain_context(tls))
    return context


def client_credentials(tls: ClientTls | None) -> grpc.ChannelCredentials | None:
    """Return credentials for a gRPC client; None where it has no TLS.

    Raises:
        SettingError: The files can't be used.
    """
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca is not None:
        _load_roots(context, tls.ca, "--ca")
    if (tls.cert is None) != (tls.key is None):
        raise SettingError("a client's certificate needs its key: give both --client-cert and --client-key")
    if tls.cert is not None and tls.key is not None:
        _load_pair(context, tls.cert, tls.key, "--client-cert", "--client-key")
    return grpc.ssl_channel_credentials(
        None if tls.ca is None else _read(tls.ca, "--ca"),
        None if tls.key is None else _read(tls.key, "--client-key"),
        None if tls.cert is None else _read(tls.cert, "--client-cert"),
    )


def channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Return a channel to a gRPC server; without credentials it is not encrypted."""
    return grpc.insecure_channel(target) if credentials is None else grpc.secure_channel(target, credentials)


class _RenewedContext(ssl.SSLContext):
    """A context that has each connection begin with the latest one."""

    renewed: _Renewed[ssl.SSLContext]

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        return self.renewed.get().wrap_bio(*given, **named)


def _files(tls: ServerTls) -> Sequence[Path]:
    return [tls.cert, tls.key, *([tls.client_ca] if tls.client_ca else [])]


def _plain_context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_pair(context, tls.cert, tls.key)
    if tls.client_ca is not None:
        _load_roots(context, tls.client_ca, "--tls-client-ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _configuration(tls: ServerTls) -> Any:
    # OpenSSL says what is wrong with them; grpc would only fail.
    _plain_context(tls)
    roots = None if tls.client_ca is None else _read(tls.client_ca, "--tls-client-ca")
    pair = (_read(tls.key, "--tls-key"), _read(tls.cert, "--tls-cert"))
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


def _load_pair(
    context: ssl.SSLContext, cert: Path, key: Path, cert_option: str = "--tls-cert", key_option: str = "--tls-key"
) -> None:
    _read(cert, cert_option)
    _read(key, key_option)
    try:
        # Without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise SettingError(
            f"can't use {cert} with {key}: {_reason(error)}; give {cert_option} a certificate and {key_option} its "
            "key, both in PEM, the key not encrypted"
        ) from None


def _load_roots(context: ssl.SSLContext, roots: Path, option: str) -> None:
    _read(roots, option)
    try:
        context.load_verify_locations(roots)
    except (ssl.SSLError, ValueError) as error:
        raise SettingError(f"can't use {roots}: {_reason(error)}; give {option} certificates in PEM") from None


def _read(file: Path, option: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingError(f"can't read {file}: {error.strerror}; give another file with {option}") from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).lower().replace("_", " ")


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
