"""TLS: what is answered over it, certificates that change while the host runs, and clients that do not speak it."""

import http.client
import os
import socket
import ssl
import subprocess
import time

import pytest

from conftest import Host, embedded_config, host_executable


def make_certificate(folder, name):
    """A self-signed certificate for 127.0.0.1 with `name` as its common name."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
                    "-out", chain], check=True, capture_output=True)
    return chain, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder, "first")
    make_certificate(folder, "second")
    use(folder, "first")
    return folder


def use(folder, name):
    """Puts a pair in place as an administrator does who is not careful about the order."""
    for part in ("pem", "key"):
        (folder / "next").write_bytes((folder / f"{name}.{part}").read_bytes())
        os.replace(folder / "next", folder / f"current.{part}")


@pytest.fixture(scope="module")
def secured(make_host, folder):
    host = make_host(name="tls", http=f"tls-cert = {folder}/current.pem\ntls-key = {folder}/current.key\n"
                     "head-timeout = 2s\nbody-timeout = 2s", embed=False)
    assert host.address.startswith("https://")
    host.port = int(host.address.rsplit(":", 1)[1])
    return host


def trust(folder, *names):
    context = ssl.create_default_context()
    for name in names:
        context.load_verify_locations(folder / f"{name}.pem")
    return context


def request(host, context, method="GET", path="/livez", body=None, headers=None):
    connection = http.client.HTTPSConnection("127.0.0.1", host.port, timeout=300, context=context)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_everything_goes_over_tls(secured, folder):
    context = trust(folder, "first")
    documents = b"".join(b'{"id": "d%d", "content": "Otters hold hands, number %d."}\n' % (i, i) for i in range(2000))
    status, report = request(secured, context, "POST", "/v1/documents", documents,
                             {"Content-Type": "application/x-ndjson"})
    assert status == 200 and b'"documents":2000' in report.replace(b" ", b"")
    connection = http.client.HTTPSConnection("127.0.0.1", secured.port, timeout=300, context=context)
    for size in (1, 1000, 1):  # one connection, small and large answers
        connection.request("GET", f"/v1/context?q=otters&max_chunks={size}")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read().count(b'"document_id"') == size
    connection.close()


@pytest.mark.parametrize("version, works", [(ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True),
                                            (ssl.TLSVersion.TLSv1_1, False)])
def test_old_versions_are_refused(secured, folder, version, works):
    context = trust(folder, "first")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if works:
        assert request(secured, context)[0] == 200
    else:
        with pytest.raises(OSError):
            request(secured, context)


def test_a_refusal_of_a_large_body_can_be_read(secured, folder):
    status, body = request(secured, trust(folder, "first"), "POST", "/v1/context", b"x" * 3_000_000,
                           {"Content-Type": "application/json"})
    assert status == 413 and b"Content too large" in body


def test_what_is_not_tls_harms_nobody(secured, folder):
    for garbage in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\xff\xff", b""):
        with socket.create_connection(("127.0.0.1", secured.port), 30) as connection:
            try:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            except OSError:
                pass
    assert request(secured, trust(folder, "first"))[0] == 200


def test_a_handshake_that_does_not_come_is_not_waited_for(secured, folder):
    silent = [socket.create_connection(("127.0.0.1", secured.port), 60) for _ in range(20)]
    for connection in silent:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # a hello that never ends
    assert request(secured, trust(folder, "first"))[0] == 200
    for connection in silent:
        try:
            assert connection.recv(4096) == b""
        except ConnectionError:
            pass
        connection.close()


def subject(host):
    with socket.create_connection(("127.0.0.1", host.port), 30) as plain:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as secure:
            text = ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True))
    return subprocess.run(["openssl", "x509", "-noout", "-subject"], input=text, capture_output=True, text=True,
                          check=True).stdout


def test_a_new_certificate_is_taken_up_and_a_bad_one_is_not(secured, folder):
    kept = http.client.HTTPSConnection("127.0.0.1", secured.port, timeout=300, context=trust(folder, "first"))
    kept.request("GET", "/livez")
    kept.getresponse().read()
    use(folder, "second")
    deadline = time.monotonic() + 180
    while "second" not in subject(secured):
        assert time.monotonic() < deadline
        kept.request("GET", "/livez")  # goes on as it began
        assert kept.getresponse().read()
        time.sleep(0.1)
    assert request(secured, trust(folder, "second"))[0] == 200
    (folder / "current.pem").write_text("not a certificate")
    while f"{folder}/current.pem: " not in secured.log():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "second" in subject(secured)
    use(folder, "first")
    while "first" not in subject(secured):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("pem, key, words", [("first.pem", "second.key", "is not that of the first certificate"),
                                             ("absent.pem", "first.key", "absent.pem"),
                                             ("first.key", "first.key", "first.key: "),
                                             ("first.pem", "first.pem", "first.pem: ")])
def test_a_pair_that_cannot_be_used_is_refused_at_start(tmp_path, folder, pem, key, words):
    host = Host(tmp_path, embedded_config(http=f"tls-cert = {folder}/{pem}\ntls-key = {folder}/{key}", embed=False))
    command = [host_executable(), "--config", host.config_path, "--state-dir", host.state, "--plugin-dir", host.plugins()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 78 and words in ended.stderr, ended.stderr
