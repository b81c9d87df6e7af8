"""TLS over gRPC and REST, for servers, clients and the gateway between; files are renewed while they serve."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import requests

from pageroles import AsyncClient, Client, RequestError, serving
from pageroles.errors import SettingError
from pageroles.service import PagesService
from pageroles.settings import ClientTls, ServerSettings, ServerTls
from pageroles.transport.backends import LocalBackend
from pageroles.transport.grpc_server import GrpcServer
from pageroles.transport.rest_app import application
from pageroles.transport.rest_server import HttpServer
from pageroles.transport.tls import client_credentials, server_context, server_credentials
from support.served import serving_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pageroles.client import Report, SummaryTotals
    from support.served import Served

SECONDS = 30
# asyncio leaves a connection whose handshake is not done to the garbage collector, if its loop ends then.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Authority:
    """Roots that sign certificates, in a folder of their own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.roots = folder / f"{name}.pem"
        self._run("req", "-x509", "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", self.roots)

    def sign(self, name: str) -> tuple[Path, Path]:
        """Make a certificate for localhost, and return it with its key."""
        cert, key, request = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        self._run("req", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        names = self.folder / "names"
        names.write_text("subjectAltName = DNS:localhost, IP:127.0.0.1\n")
        openssl(
            "x509", "-req", "-in", request, "-CA", self.roots, "-CAkey", self.folder / f"{self.name}.key",
            "-CAcreateserial", "-days", "2", "-extfile", names, "-out", cert,
        )  # fmt: skip
        return cert, key

    def _run(self, *words: object) -> None:
        openssl(*words, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def openssl(*words: object) -> None:
    if "-newkey" in words and "-x509" not in words:
        words = words[: words.index("-days")]
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "roots")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> ServerTls:
    """A server's files, which a test may change."""
    tls = ServerTls(tmp_path / "cert.pem", tmp_path / "key.pem")
    renew(tls, authority, "server")
    return tls


def renew(tls: ServerTls, authority: Authority, name: str) -> None:
    cert, key = authority.sign(name)
    tls.cert.write_bytes(cert.read_bytes())
    tls.key.write_bytes(key.read_bytes())


@contextlib.contextmanager
def secured(served: Served, tls: ServerTls) -> Iterator[tuple[str, str]]:
    """Serve with TLS; give the addresses of gRPC and REST."""
    service = PagesService(served.store)
    grpc_server = GrpcServer(service, "localhost:0", tls=tls)
    http = HttpServer(application(LocalBackend(service), max_seconds=SECONDS), "127.0.0.1:0", grace=1, tls=tls)
    try:
        yield f"localhost:{grpc_server.port}", f"https://127.0.0.1:{http.port}"
    finally:
        http.stop()
        grpc_server.stop(grace=1)
        service.close()
        gc.collect()


def ask(target: str, key: str, tls: ClientTls | None) -> SummaryTotals:
    with Client(target, key, tls=client_credentials(tls) or False, timeout=SECONDS, retries=0) as client:
        return client.report(start_date="2025-07-01", end_date="2025-07-30").summary_totals


def name_shown(url: str) -> str:
    """Return the name of the certificate that a server shows."""
    host, port = url.rpartition("/")[2].split(":")
    pem = ssl.get_server_certificate((host, int(port)))
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"], input=pem, text=True, capture_output=True, check=True
    )
    return told.stdout.rpartition("=")[2].strip()


def test_both_transports_are_secured(served: Served, key: str, authority: Authority, files: ServerTls) -> None:
    with secured(served, files) as (target, url):
        assert ask(target, key, ClientTls(authority.roots)).total_sessions
        answer = requests.post(
            f"{url}/api/v1/pages", headers={"Authentication": key}, verify=str(authority.roots), timeout=SECONDS
        )
        assert answer.status_code == 200
        # Who does not speak TLS, or trusts others, gets nothing.
        with pytest.raises(RequestError) as error:
            ask(target, key, None)
        assert error.value.status == "UNAVAILABLE"
        with pytest.raises(RequestError):
            ask(target, key, ClientTls())
        with Client(target, key, ca=authority.roots) as trusting, Client(target, key, tls=True, retries=0) as strange:
            assert trusting.report(start_date="2025-07-01", end_date="2025-07-30").summary_totals.total_sessions
            with pytest.raises(RequestError):
                strange.report()

        async def report_of_asyncio() -> Report:
            async with AsyncClient(target, key, ca=authority.roots) as trusting:
                return await trusting.report(start_date="2025-07-01", end_date="2025-07-30")

        assert asyncio.run(report_of_asyncio()).summary_totals.total_sessions
        with pytest.raises(requests.ConnectionError):
            requests.post(f"http{url[5:]}/api/v1/pages", timeout=SECONDS)
        with pytest.raises(requests.exceptions.SSLError):
            requests.post(f"{url}/api/v1/pages", timeout=SECONDS)


def test_clients_must_show_a_certificate(
    served: Served, key: str, authority: Authority, files: ServerTls, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    cert, client_key = clients.sign("caller")
    strange_cert, strange_key = authority.sign("stranger")
    with secured(served, ServerTls(files.cert, files.key, clients.roots)) as (target, url):
        assert ask(target, key, ClientTls(authority.roots, cert, client_key)).total_sessions
        for tls in (ClientTls(authority.roots), ClientTls(authority.roots, strange_cert, strange_key)):
            with pytest.raises(RequestError):
                ask(target, key, tls)
        path = f"{url}/livez"
        pair = (str(cert), str(client_key))
        assert requests.get(path, cert=pair, verify=str(authority.roots), timeout=SECONDS).status_code == 200
        for other in (None, (str(strange_cert), str(strange_key))):
            with pytest.raises((requests.exceptions.SSLError, requests.ConnectionError)):
                requests.get(path, cert=other, verify=str(authority.roots), timeout=SECONDS)


def test_renewed_files_are_taken_up_while_serving(
    served: Served, key: str, authority: Authority, files: ServerTls
) -> None:
    with secured(served, files) as (target, url):
        of_grpc = f"https://127.0.0.1:{target.rpartition(':')[2]}"
        assert (name_shown(of_grpc), name_shown(url)) == ("server", "server")
        renew(files, authority, "renewed")
        assert (name_shown(of_grpc), name_shown(url)) == ("renewed", "renewed")
        # Half of a renewal, or what is no certificate, changes nothing.
        files.cert.write_bytes(authority.sign("half")[0].read_bytes())
        assert (name_shown(of_grpc), name_shown(url)) == ("renewed", "renewed")
        files.key.unlink()
        assert ask(target, key, ClientTls(authority.roots)).total_sessions
        assert name_shown(url) == "renewed"


def test_a_gateway_secures_both_sides(
    served: Served, key: str, authority: Authority, files: ServerTls, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    shown = ClientTls(authority.roots, *clients.sign("gateway"))
    settings = ServerSettings(http_address="127.0.0.1:0", grace=1, tls=files)
    with (
        secured(served, ServerTls(files.cert, files.key, clients.roots)) as (target, _),
        serving.gateway(target, settings, shown) as address,
    ):
        asked: Any = requests.post(
            f"https://{address}/api/v1/pages",
            headers={"Authentication": key},
            verify=str(authority.roots),
            timeout=SECONDS,
        )
        assert asked.status_code == 200
        assert (
            requests.get(f"https://{address}/readyz", verify=str(authority.roots), timeout=SECONDS).status_code == 200
        )


def test_files_that_cannot_be_used_are_refused_with_a_sentence(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.sign("one")
    _, other_key = authority.sign("two")
    gone, no_pem, encrypted = tmp_path / "gone", tmp_path / "text", tmp_path / "encrypted"
    no_pem.write_text("no certificate")
    openssl("ec", "-aes256", "-passout", "pass:secret", "-in", key, "-out", encrypted)
    for made in (server_context, server_credentials):
        for tls, says in (
            (ServerTls(gone, key), f"can't read {gone}: No such file or directory; give another file with --tls-cert"),
            (ServerTls(cert, gone), "with --tls-key"),
            (ServerTls(cert, other_key), "key values mismatch"),
            (ServerTls(no_pem, key), f"can't use {no_pem} with {key}"),
            (ServerTls(cert, encrypted), "not encrypted"),
            (ServerTls(cert, key, no_pem), "give --tls-client-ca certificates in PEM"),
        ):
            with pytest.raises(SettingError) as error:
                made(tls)
            assert says in str(error.value)
    for files, says in (
        (ClientTls(gone), "with --ca"),
        (ClientTls(no_pem), "give --ca certificates in PEM"),
        (ClientTls(None, cert), "give both --client-cert and --client-key"),
        (ClientTls(None, cert, other_key), "key values mismatch"),
    ):
        with pytest.raises(SettingError) as error:
            client_credentials(files)
        assert says in str(error.value)


def test_reflection_can_be_turned_off(served: Served) -> None:
    with serving_with(served.store) as (_, service, _):
        server = GrpcServer(service, "127.0.0.1:0", reflects=False)
        try:
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                method: Any = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
                with pytest.raises(grpc.RpcError) as error:
                    list(method(iter([b""]), timeout=SECONDS))
                assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
        finally:
            server.stop(grace=1)
