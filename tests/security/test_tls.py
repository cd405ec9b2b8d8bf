"""TLS beside HTTP on a running service, with the clients that people use, and ``sordino admin`` on it."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from qcloud_cos import CosServiceError

from handshakes import client_context, has_agreed
from server import REGION, Server, new_room
from sordino.adapters.postgres.embedded import find_running
from support import clean_environment, free_port, job_body, start_service, wait_for_jobs

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
NODE = """
const http = require("http"), https = require("https"), tls = require("tls");
const [proxy, name] = process.argv.slice(1);
const connect = http.request({host: "127.0.0.1", port: proxy, method: "CONNECT", path: name + ":443"});
connect.on("connect", (reply, socket) => {
  if (reply.statusCode !== 200) {
    console.log(reply.statusCode, reply.statusMessage);
    socket.destroy();
    return;
  }
  const createConnection = () => tls.connect({socket, servername: name});
  https.get({host: name, path: "/", createConnection}, (answer) => {
    console.log(answer.statusCode);
    answer.resume();
    answer.on("end", () => process.exit());
  });
});
connect.end();
"""
JAVA = """
public class Fetch {
    public static void main(String[] urls) throws Exception {
        for (String url : urls) {
            try {
                var connection = (javax.net.ssl.HttpsURLConnection) new java.net.URL(url).openConnection();
                System.out.println(connection.getResponseCode());
            } catch (java.io.IOException error) {
                System.out.println(error.getMessage());
            }
        }
    }
}
"""


def admin(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``sordino admin`` on a data directory."""
    return subprocess.run(
        [sys.executable, "-m", "sordino", "admin", *arguments, "--data", data],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(**environment),
    )


@pytest.fixture(scope="module")
def secure() -> Iterator[Server]:
    """A service with both ports, stopped in order at the end."""
    with new_room() as directory:
        assert admin(directory / "data", "tls", "--host", "*.sound.example").returncode == 0
        running = start_service(directory / "data", SORDINO_TLS_PORT="0", SORDINO_WORKERS="1")
        yield running
        status = running.stop()
        assert status == 0, running.log_tail(60)


def tls_port(service: Server) -> int:
    """Where it listens for TLS."""
    return int(re.findall(r"and https://127\.0\.0\.1:([0-9]+)", service.log.read_text())[-1])


def ca(service: Server) -> Path:
    """What its clients trust."""
    return service.data / "tls" / "ca.pem"


def proxy(service: Server, bucket: str) -> dict[str, object]:
    """Real host names through CONNECT."""
    return {"Proxies": {"https": service.url}}


def path_style(service: Server, bucket: str) -> dict[str, object]:
    """The bucket as first path segment."""
    return {"Domain": f"127.0.0.1:{tls_port(service)}/{bucket}"}


def ip(service: Server, bucket: str) -> dict[str, object]:
    """The server's address with real host names."""
    return {"IP": "127.0.0.1", "Port": tls_port(service)}


@pytest.fixture(scope="module")
def bucket(secure: Server) -> str:
    """A bucket, made through the plain port."""
    name = f"music-{secure.root_key.appid}"
    secure.client().create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize("mode", [proxy, path_style, ip], ids=lambda mode: mode.__name__)
def test_official_sdk(secure: Server, bucket: str, recording: bytes, mode) -> None:
    """A job runs over https in each way that the SDK can be pointed here, with certificates checked."""
    client = secure.client(**mode(secure, bucket), Scheme="https", VerifySSL=str(ca(secure)))
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, f"{mode.__name__}.wav"), Lst={})
    job = reply["JobsDetail"][0]["JobId"]
    assert wait_for_jobs(client, bucket, [job])[job]["State"] == "Success"
    assert client.head_object(Bucket=bucket, Key=f"{mode.__name__}.wav")["ETag"]


def test_large_bodies_both_ways(secure: Server, bucket: str) -> None:
    """Megabytes arrive whole through TLS and through a tunnel, and by the plain port beside them."""
    content = os.urandom(5_000_000)
    tunnel = secure.client(**proxy(secure, bucket), Scheme="https", VerifySSL=str(ca(secure)))
    direct = secure.client(**ip(secure, bucket), Scheme="https", VerifySSL=str(ca(secure)))
    for number, (writer, reader) in enumerate([(tunnel, direct), (direct, secure.client()), (secure.client(), tunnel)]):
        writer.put_object(Bucket=bucket, Key=f"large{number}", Body=content)
        assert reader.get_object(Bucket=bucket, Key=f"large{number}")["Body"].get_raw_stream().read() == content


def say(connection: socket.socket, request: bytes) -> bytes:
    """Send a request and read until the end."""
    with connection:
        connection.sendall(request)
        reply = b""
        while part := connection.recv(65536):
            reply += part
        return reply


def connected(port: int) -> socket.socket:
    """A connection to the server."""
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def connect(service: Server, target: str, more: bytes = b"", head: str = "") -> tuple[socket.socket, bytes]:
    """Ask the plain port for a tunnel; the connection, and the first of the reply."""
    connection = connected(service.port)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{head}\r\n".encode() + more)
    return connection, connection.recv(65536)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", f"music-1.ci.{REGION}.myqcloud.com", "a.sound.example"])
def test_any_client(secure: Server, host: str) -> None:
    """A client that trusts the authority alone agrees on the certificate for each of its names."""
    with client_context(ca(secure)).wrap_socket(connected(tls_port(secure)), server_hostname=host) as encrypted:
        assert encrypted.version() == "TLSv1.3"
        assert b'"status":"ok"' in say(encrypted, HEALTH)


def test_openssl(secure: Server) -> None:
    """OpenSSL's own client finds the chain in order by the strict rules."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl is not installed")
    options = ["-verify_return_error", "-x509_strict", "-verify_hostname", f"b-1.cos.{REGION}.myqcloud.com"]
    result = subprocess.run(
        [openssl, "s_client", "-connect", f"127.0.0.1:{tls_port(secure)}", "-CAfile", ca(secure), *options],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Verify return code: 0 (ok)" in result.stdout


def test_client_without_the_authority(secure: Server) -> None:
    """Who does not trust the authority gets no connection."""
    with (
        pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer certificate"),
        connected(tls_port(secure)) as plain,
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


def test_each_port_speaks_its_own(secure: Server) -> None:
    """HTTP on the port of TLS, and TLS on that of HTTP, end the connection at once."""
    with suppress(ConnectionResetError):  # which is an end, too
        assert b"HTTP" not in say(connected(tls_port(secure)), HEALTH)
    with pytest.raises(ssl.SSLError), connected(secure.port) as plain:
        client_context(ca(secure)).wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("target", ["localhost:443", "[::1]:8443", f"music-1.cos.{REGION}.myqcloud.com:443"])
def test_connect(secure: Server, target: str) -> None:
    """The plain port, as a proxy, gives a tunnel to the server itself under each of its names."""
    connection, reply = connect(secure, target)
    assert reply.startswith(b"HTTP/1.1 200 ")
    host = target.rpartition(":")[0].strip("[]")
    with client_context(ca(secure)).wrap_socket(connection, server_hostname=host) as encrypted:
        assert b'"status":"ok"' in say(encrypted, HEALTH)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("example.org:443", 403),
        ("127.0.0.2:443", 403),
        ("myqcloud.com:443", 403),
        (f"a.b.cos.{REGION}.myqcloud.com:443", 403),
        ("localhost", 400),
        ("localhost:https", 400),
        ("http://localhost:443", 400),
        ("/", 400),
        ("user@localhost:443", 400),
    ],
)
def test_connect_elsewhere(secure: Server, target: str, status: int) -> None:
    """Any other target is refused, with the reason where clients of proxies show it, and the connection ends."""
    connection, reply = connect(secure, target)
    reply += say(connection, b"")
    line = reply.split(b"\r\n", 1)[0].decode()
    assert line.startswith(f"HTTP/1.1 {status} ")
    assert ("Sordino alone" in line) == (status == 403)
    assert b"<Code>" in reply


def test_connect_to_a_listener_of_others(secure: Server) -> None:
    """A tunnel to another port of this machine still leads to the server: nobody else is ever connected."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(1)
        connection, reply = connect(secure, f"127.0.0.1:{other.getsockname()[1]}")
        assert reply.startswith(b"HTTP/1.1 200 ")
        with client_context(ca(secure)).wrap_socket(connection, server_hostname="127.0.0.1") as encrypted:
            assert b'"status":"ok"' in say(encrypted, HEALTH)
        with pytest.raises(TimeoutError):
            other.accept()


@pytest.mark.parametrize(
    ("more", "head"),
    [
        (b"x", "Content-Length: 1\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", ""),
        (b"0\r\n\r\n", "Transfer-Encoding: chunked\r\n"),
    ],
)
def test_connect_with_more(secure: Server, more: bytes, head: str) -> None:
    """What comes with a CONNECT, a body or bytes that do not wait for the reply, is not taken for TLS."""
    connection, reply = connect(secure, "localhost:443", more, head)
    with connection:
        assert reply.startswith(b"HTTP/1.1 400 ")


def test_connect_and_a_request_with_the_handshake(secure: Server) -> None:
    """A request in the very packet that ends the handshake in a tunnel is answered."""
    connection, _ = connect(secure, "localhost:443")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(ca(secure)).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with connection:
        while not has_agreed(client):
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65536))
        client.write(HEALTH)
        connection.sendall(outgoing.read())
        while part := connection.recv(65536):
            incoming.write(part)
    reply = b""
    with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
        while part := client.read():
            reply += part
    assert b'"status":"ok"' in reply


def test_connect_after_a_request(secure: Server) -> None:
    """A connection that was used may become a tunnel, as proxies allow."""
    connection = connected(secure.port)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while b"}" not in connection.recv(65536):
        pass
    connection.sendall(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    with client_context(ca(secure)).wrap_socket(connection, server_hostname="localhost") as encrypted:
        assert b'"status":"ok"' in say(encrypted, HEALTH)


def test_connect_within_tls(secure: Server) -> None:
    """Inside TLS there is no second tunnel."""
    context = client_context(ca(secure))
    with context.wrap_socket(connected(tls_port(secure)), server_hostname="localhost") as encrypted:
        reply = say(encrypted, b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 405 This connection is encrypted already")


def test_connect_and_then_no_tls(secure: Server) -> None:
    """A client that sends something else through its tunnel, or hangs up, loses the connection and nothing more."""
    for sent in (HEALTH, b""):
        connection, reply = connect(secure, "localhost:443")
        assert reply.startswith(b"HTTP/1.1 200 ")
        with connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # which is an end, too
                assert b"status" not in connection.recv(65536)
    assert secure.ready()
    assert "Traceback" not in secure.log.read_text()


def test_connect_without_tls(service: Server) -> None:
    """A server without TLS says so, and how to start it with it."""
    connection, reply = connect(service, "localhost:443")
    with connection:
        assert reply.startswith(b"HTTP/1.1 405 This server has no TLS: start it with --tls-port")


def test_node(secure: Server, tmp_path: Path) -> None:
    """Node trusts the authority by its variable, and reaches buckets through the proxy; others it does not."""
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed")
    told = [
        subprocess.run(
            [node, "-e", NODE, str(secure.port), name],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(NODE_EXTRA_CA_CERTS=str(ca(secure))),
        )
        for name in (f"music-1.ci.{REGION}.myqcloud.com", "elsewhere.example")
    ]
    assert told[0].stdout.strip() == "401", told[0].stderr
    assert told[1].stdout.startswith("403 This proxy leads to Sordino alone"), told[1].stderr


def test_java(secure: Server, tmp_path: Path) -> None:
    """Java trusts the authority from a key store, and reaches CI by https through the proxy."""
    java, keytool = shutil.which("java"), shutil.which("keytool")
    if java is None or keytool is None:
        pytest.skip("java is not installed")
    store, source = tmp_path / "trust.p12", tmp_path / "Fetch.java"
    source.write_text(JAVA)
    imported = ["-importcert", "-noprompt", "-alias", "sordino", "-file", ca(secure)]
    subprocess.run(
        [keytool, *imported, "-keystore", store, "-storepass", "changeit"], check=True, capture_output=True, timeout=60
    )
    options = [
        *(f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"),
        *("-Dhttps.proxyHost=127.0.0.1", f"-Dhttps.proxyPort={secure.port}"),
    ]
    urls = [f"https://music-1.ci.{REGION}.myqcloud.com/", "https://elsewhere.example/"]
    result = subprocess.run([java, *options, source, *urls], check=True, capture_output=True, text=True, timeout=120)
    told = result.stdout.splitlines()
    assert told[0] == "401"
    assert "This proxy leads to Sordino alone" in told[1]


def serial(service: Server) -> int:
    """The serial number of the certificate that a new connection gets."""
    with client_context(ca(service)).wrap_socket(connected(tls_port(service)), server_hostname="localhost") as shown:
        return int(shown.getpeercert()["serialNumber"], 16)


def test_renewal_while_it_runs(secure: Server) -> None:
    """New connections get the renewed certificate without a restart, and those that are open stay."""
    before = serial(secure)
    context = client_context(ca(secure))
    with context.wrap_socket(connected(tls_port(secure)), server_hostname="localhost") as kept:
        assert admin(secure.data, "tls", "--renew").returncode == 0
        secure.wait_until(lambda: serial(secure) != before, 60, "showing the new certificate")
        kept.sendall(b"GET /healthz")
        assert b'"status":"ok"' in say(kept, HEALTH.removeprefix(b"GET /healthz"))


def test_queue_limits_on_the_running_service(secure: Server, bucket: str) -> None:
    """What the command sets is what `GET /asrqueue` tells, until it is the server's setting again."""
    client = secure.client()

    def told() -> tuple[str, str]:
        queue = client.ci_get_asr_queue(Bucket=bucket)["QueueList"][0]
        return queue["MaxSize"], queue["MaxConcurrent"]

    def shown() -> dict[str, object]:
        result = admin(secure.data, "queue", "show", bucket, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)[0]

    assert told() == ("10000", "10")
    assert (shown()["max_size_is_own"], shown()["max_concurrent_is_own"]) == (False, False)
    changed = admin(secure.data, "queue", "limit", bucket, "--max-concurrent", "3", "--max-size", "77")
    assert changed.returncode == 0, changed.stderr
    assert told() == ("77", "3")
    again = admin(
        secure.data, "queue", "limit", bucket, "--queue", str(shown()["queue_id"]), "--max-concurrent", "default"
    )
    assert again.returncode == 0, again.stderr
    assert told() == ("77", "10")
    assert (shown()["max_size"], shown()["max_size_is_own"]) == (77, True)
    assert "77" in admin(secure.data, "queue", "show", bucket).stdout
    assert admin(secure.data, "queue", "limit", bucket, "--max-size", "default").returncode == 0


def test_weights_on_the_running_service(secure: Server, bucket: str) -> None:
    """Accounts and queues are listed with their weights, which the commands set; an unknown account is refused."""

    def told(*arguments: str) -> list[dict[str, object]]:
        result = admin(secure.data, *arguments, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    appid = secure.root_key.appid
    assert [(row["appid"], row["weight"]) for row in told("account", "list")] == [(appid, 1)]
    assert told("account", "weight", appid, "5")[0]["weight"] == 5
    assert "5" in admin(secure.data, "account", "list").stdout.split()
    refused = admin(secure.data, "account", "weight", "7", "5")
    assert refused.returncode == 1
    assert "There is no account '7'." in refused.stderr
    assert admin(secure.data, "queue", "limit", bucket, "--weight", "3").returncode == 0
    assert [(row["weight"], row["max_size_is_own"]) for row in told("queue", "show", bucket)] == [(3, False)]
    assert told("account", "weight", appid, "1")[0]["weight"] == 1


def test_limits_hold(secure: Server, recording: bytes) -> None:
    """A queue takes as many waiting jobs as the command allows, and refuses the next until it allows more."""
    client, bucket = secure.client(), f"limits-{secure.root_key.appid}"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="in.wav", Body=recording)
    queue = client.ci_get_asr_queue(Bucket=bucket)["QueueList"][0]["QueueId"]

    def turn(state: str) -> None:
        body = {"Name": "q", "State": state, "NotifyConfig": {"State": "Off"}}
        client.ci_update_asr_queue(Bucket=bucket, QueueId=queue, Request=body, ContentType="application/xml")

    def submit() -> str:
        reply = client.ci_create_media_jobs(Bucket=bucket, Jobs=job_body(bucket, "out.wav"), Lst={})
        return reply["JobsDetail"][0]["JobId"]

    turn("Paused")
    assert admin(secure.data, "queue", "limit", bucket, "--max-size", "1").returncode == 0
    jobs = [submit()]
    with pytest.raises(CosServiceError) as refusal:
        submit()
    assert refusal.value.get_error_code() == "QueueSaturated"
    assert admin(secure.data, "queue", "limit", bucket, "--max-size", "2", "--max-concurrent", "1").returncode == 0
    jobs.append(submit())
    turn("Active")
    assert {detail["State"] for detail in wait_for_jobs(client, bucket, jobs).values()} == {"Success"}


def test_admin_with_a_database_of_its_own(secure: Server, bucket: str, tmp_path: Path) -> None:
    """With the database's URL the command works without the data directory."""
    dsn = find_running(secure.data)
    assert dsn
    result = admin(tmp_path, "queue", "show", bucket, SORDINO_DATABASE_URL=dsn)
    assert result.returncode == 0, result.stderr
    assert "queue-speech (default)" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_api_alone_has_both_ports(secure: Server) -> None:
    """The HTTP half, started alone, serves TLS too and stops in order."""
    environment = clean_environment(SORDINO_DATABASE_URL=find_running(secure.data) or "", SORDINO_TLS_PORT="0")
    command = [sys.executable, "-m", "sordino", "api", "--port", "0", "--data", secure.data]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as half:
        line = half.stdout.readline()
        port = int(re.findall(r"and https://127\.0\.0\.1:([0-9]+)", line)[0])
        with client_context(ca(secure)).wrap_socket(connected(port), server_hostname="localhost") as encrypted:
            assert b'"status":"ok"' in say(encrypted, HEALTH)
        half.terminate()
        assert half.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "nowhere-1250000000"), "has no queues"),
        (("limit", "nowhere-1250000000", "--max-size", "3"), "does not have a default queue"),
        (("limit", "{bucket}", "--queue", "p0", "--max-size", "3"), "does not have a queue p0"),
    ],
)
def test_queues_that_are_not_there(secure: Server, bucket: str, arguments: tuple[str, ...], told: str) -> None:
    """A bucket or queue that is not there is named in one line."""
    result = admin(secure.data, "queue", *(argument.format(bucket=bucket) for argument in arguments))
    assert result.returncode == 1
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_stop_with_open_connections(room: Path) -> None:
    """Idle connections of TLS, half a handshake and a tunnel do not hold up the stop, and a request under way ends."""
    admin(room / "data", "tls")
    service = start_service(room / "data", SORDINO_TLS_PORT=str(free_port()), SORDINO_WORKERS="1")
    context = client_context(ca(service))
    idle = context.wrap_socket(connected(tls_port(service)), server_hostname="localhost")
    idle.sendall(HEALTH.replace(b"Connection: close\r\n", b""))
    assert b"200 OK" in idle.recv(65536)
    half = connected(tls_port(service))
    tunnel, reply = connect(service, "localhost:443")
    assert reply.startswith(b"HTTP/1.1 200 ")
    with idle, half, tunnel:
        assert service.stop(signal.SIGTERM) == 0
    assert "Traceback" not in service.log.read_text()
    assert "killing it" not in service.log.read_text()


def test_api_comes_back_with_both_ports(secure: Server, bucket: str) -> None:
    """When the API is killed, the next one listens on the same two sockets."""
    api = next(child for child in secure.children if "api" in child.cmdline())
    api.kill()
    psutil.wait_procs([api], timeout=20)
    secure.wait_until(secure.ready, 60, "being ready again")
    assert serial(secure)


def run_serve(data: Path, tls_port: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that is to fail."""
    return subprocess.run(
        [sys.executable, "-m", "sordino", "serve", "--port", "0", "--data", data, "--tls-port", str(tls_port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(**environment),
    )


def test_start_without_a_certificate(room: Path) -> None:
    """Without one the start ends in one line that names the command, and leaves no directory behind."""
    result = run_serve(room / "data")
    assert result.returncode == 1
    assert "sordino admin tls" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (room / "data").exists()


def test_start_with_certificates_that_do_not_fit(room: Path) -> None:
    """A key of another certificate ends the start in one line that names both."""
    for name in ("one", "two"):
        admin(room / name, "tls")
    files = room / "one" / "tls" / "server.pem", room / "two" / "tls" / "server-key.pem"
    result = run_serve(room / "data", SORDINO_TLS_CERTIFICATE=str(files[0]), SORDINO_TLS_KEY=str(files[1]))
    assert result.returncode == 1
    assert "does not belong" in result.stderr
    assert all(str(file) in result.stderr for file in files)


def test_key_without_a_certificate(room: Path) -> None:
    """A key alone is a usage error that names the other setting."""
    result = run_serve(room / "data", SORDINO_TLS_KEY="key.pem")
    assert result.returncode == 2
    assert "SORDINO_TLS_CERTIFICATE" in result.stderr


def test_tls_port_in_use(room: Path) -> None:
    """A port that is taken is told with the options that choose another."""
    admin(room / "data", "tls")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = run_serve(room / "data", listener.getsockname()[1])
    assert result.returncode == 1
    assert "cannot listen" in result.stderr
    assert "--tls-port" in result.stderr
