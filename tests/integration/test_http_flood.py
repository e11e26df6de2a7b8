"""More of everything than anybody needs: connections, header fields, bodies without an end, deletes at once."""

import json
import resource
import shutil
import socket
import threading
import time

import pytest

FILES = 1500  # descriptors that the host may have


@pytest.fixture(scope="module")
def bounded(make_host):
    """A host that may have a bounded number of descriptors."""
    if shutil.which("prlimit") is None:
        pytest.skip("no prlimit")
    return make_host(name="bounded", embed=False, http="head-timeout = 5s\nidle-timeout = 30s",
                     wrapper=["prlimit", f"--nofile={FILES}:{FILES}"])


def own_limit(wanted):
    """As many descriptors as this process may have, up to `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Flood:
    """Connections from many loopback addresses; the newest `held` stay open."""

    def __init__(self, port, held):
        self.port, self.held, self.open, self.attempts, self.refused = port, held, [], 0, 0

    def attempt(self, count, first=b""):
        for _ in range(count):
            connection = socket.socket()
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            self.attempts += 1
            try:
                connection.bind((f"127.0.0.{2 + self.attempts % 40}", 0))
                connection.connect_ex(("127.0.0.1", self.port))
                if first:
                    time.sleep(0)
                    connection.send(first)  # refused where the handshake is not over yet
            except OSError:
                self.refused += 1
            self.open.append(connection)
            if len(self.open) > self.held:
                self.open.pop(0).close()

    def close(self):
        for connection in self.open:
            connection.close()
        self.open = []


def answers(host, path="/livez"):
    """Health, however many attempts it takes within a minute to be let in."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", host.port), 10) as connection:
                connection.settimeout(20)
                connection.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
                if connection.recv(100).startswith(b"HTTP/1.1 200"):
                    return True
        except OSError:
            time.sleep(0.05)
    return False


@pytest.mark.parametrize("attempts", [6000, pytest.param(100000, marks=pytest.mark.long)])
@pytest.mark.parametrize("first", [b"", b"POST /v1/context HTTP/1.1\r\nHost: a\r\n"], ids=["silent", "half a head"])
def test_a_flood_of_connections(bounded, attempts, first):
    """The cap follows RLIMIT_NOFILE, memory stays bounded, health answers all the while, and afterwards all is well."""
    flood = Flood(bounded.port, held=min(own_limit(6000) - 500, 4000))
    try:
        grown = []
        for _ in range(4):
            for _ in range(4):
                flood.attempt(attempts // 16, first)
                assert bounded.descriptors() <= FILES
                assert answers(bounded)
            grown.append(bounded.resident())
        assert answers(bounded, "/v1/health") and answers(bounded, "/metrics")
        # A connection holds its 16 KiB; there are no more of them in the last quarter than in the second.
        assert grown[3] - grown[1] < (64 if bounded.sanitized() else 8) << 20, grown
    finally:
        flood.close()
    assert flood.attempts >= attempts // 16 * 16
    deadline = time.monotonic() + 180
    while bounded.descriptors() > 200:
        assert time.monotonic() < deadline, bounded.descriptors()
        time.sleep(0.1)
    assert bounded.context(query="is anybody there?").status == 200


def test_the_cap_follows_the_limit_of_descriptors(make_host):
    most = []
    for files in (600, 1200):
        if shutil.which("prlimit") is None:
            pytest.skip("no prlimit")
        host = make_host(name=f"files-{files}", embed=False, http="idle-timeout = 60s", wrapper=["prlimit", f"--nofile={files}:{files}"])
        own_limit(4000)
        held = []
        try:
            for number in range(files + 200):
                connection = socket.create_connection((f"127.0.0.1", host.port), 60, (f"127.0.1.{1 + number % 200}", 0))
                connection.sendall(b"POST /v1/context HTTP/1.1\r\nHost: a\r\n")  # not idle: it does not give way
                held.append(connection)
            deadline = time.monotonic() + 180
            while host.descriptors() < files * 0.5:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(0.5)
            most.append(host.descriptors())
            assert most[-1] <= files
            assert answers(host)
        finally:
            for connection in held:
                connection.close()
        host.stop()
    assert most[1] - most[0] > 300, most


# ---- floods inside a request ----

def test_header_floods_are_refused(host):
    fields = b"".join(b"X-%d: a\r\n" % number for number in range(101))
    assert b" 431 " in host.raw(b"GET /livez HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n").split(b"\r\n")[0]
    answer = host.raw(b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 70000 + b"\r\n\r\n")
    assert answer == b"" or b" 431 " in answer.split(b"\r\n")[0]
    answer = host.raw(b"GET /livez?" + b"a" * 70000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer == b"" or answer.split(b" ")[1] in (b"414", b"431")
    # One that never comes to its end is cut off, however fast it comes.
    with host.connect(30) as connection:
        sent = 0
        try:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n")
            while sent < 64 << 20:
                sent += connection.send(b"X-Flood: " + b"b" * 8000 + b"\r\n")
        except OSError:
            pass
    assert sent < 16 << 20
    assert host.get("/livez").status == 200


def test_a_thousand_requests_in_one_piece_are_answered_in_order(host):
    raw = host.raw(b"".join(b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: r%d\r\n\r\n" % number for number in range(1000)) +
                   b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", timeout=60)
    assert raw.count(b"HTTP/1.1 200") == 1000 and raw.count(b"HTTP/1.1 404") == 1
    assert raw.rindex(b"HTTP/1.1 404") > raw.rindex(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", [
    "/../etc/passwd", "/v1/../../etc/passwd", "/v1/%2e%2e/%2e%2e/etc/passwd", "/v1/documents/..%2f..%2fetc%2fpasswd",
    "/v1/documents/%2e%2e", "//v1/health", "/v1//health", "/v1/health/", "/v1/health/.", "/V1/HEALTH", "/v1/health%00",
    "/v1/health%0d%0aX-A:%20b", "/%", "/%zz", "/v1/health;x=y", "/v1/health#x", "/\\v1\\health", "/v1/documents/%ff",
    "/v1/documents/" + "a" * 600, "/v1/p/default/../context?q=a", "/v1/documents/a%2fb"])
def test_path_tricks_lead_nowhere(host, path):
    raw = host.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    status = int(raw.split(b" ")[1])
    assert 400 <= status < 500, raw[:300]
    assert b"root:" not in raw and b"\r\nX-A:" not in raw
    assert b"application/problem+json" in raw.split(b"\r\n\r\n")[0]


def test_a_body_without_an_end_is_cut_off_at_its_bound(host):
    with host.connect(60) as connection:
        connection.sendall(b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        memory, deadline = host.resident(), time.monotonic() + 180
        with pytest.raises(OSError):  # it is read on for a few seconds, so that the refusal is seen
            while time.monotonic() < deadline:
                connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert host.resident() - memory < 64 << 20
    assert host.get("/livez").status == 200


def test_endless_documents_take_constant_memory(host):
    """An upload of one document a line goes on for as long as it likes."""
    before = host.resident()
    line = json.dumps({"id": "endless", "content": "Again and again. " * 200}).encode() + b"\n"
    with host.connect(300) as connection:
        connection.sendall(b"POST /v1/documents HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        piece = line * 16
        for _ in range(400):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert host.resident() - before < (300 if host.sanitized() else 64) << 20
        connection.sendall(b"0\r\n\r\n")
        raw = connection.recv(65536)
    assert raw.startswith(b"HTTP/1.1 200"), raw[:500]
    assert host.request("DELETE", "/v1/documents/endless").status == 200


def test_half_closed_connections_are_answered_and_forgotten(host):
    before = host.descriptors()
    for _ in range(100):
        raw = host.raw(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", half_close=True)
        assert raw == b"" or raw.startswith(b"HTTP/1.1 200")
    deadline = time.monotonic() + 180
    while host.descriptors() > before + 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_many_delete_the_same_at_once(host):
    """Each document goes once; nobody gets anything but 200 or 404; others may ask meanwhile."""
    host.ingest([{"id": f"gone-{number}", "content": f"Vanishing lemur number {number}."} for number in range(40)])
    statuses, lock = [], threading.Lock()

    def delete():
        for number in range(40):
            status = host.request("DELETE", f"/v1/documents/gone-{number}").status
            with lock:
                statuses.append(status)
            assert host.context(query=f"vanishing lemur number {number}").status == 200

    threads = [threading.Thread(target=delete) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert set(statuses) <= {200, 404}, set(statuses)
    assert statuses.count(200) == 40, statuses.count(200)
    assert not any(chunk["document_id"].startswith("gone-") for chunk in host.context(query="vanishing lemur").json["chunks"])
