"""Slow clients, clients that leave, too many of them, and stopping under load."""

import http.client
import json
import re
import socket
import threading
import time

import pytest

HEAD = b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
BODY = b'{"query":"x"}'


@pytest.fixture(scope="module")
def hasty(make_host):
    """A host with short time-outs."""
    return make_host(name="hasty", embed=False,
                     http="head-timeout = 1s\nbody-timeout = 1s\nidle-timeout = 2s\nmax-connections = 200")


def receive_all(connection):
    received = b""
    try:
        while True:
            piece = connection.recv(65536)
            if not piece:
                return received
            received += piece
    except ConnectionError:
        return received


def wait_until(condition, limit=180):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def drip(host, data, period=0.1, limit=60):
    """Sends byte by byte until the host ends the connection; what it answered, and how long that took."""
    began = time.monotonic()
    with host.connect(limit) as connection:
        connection.setblocking(False)
        received = b""
        for at in range(len(data)):
            try:
                connection.sendall(data[at:at + 1])
            except OSError:
                connection.setblocking(True)
                return received + receive_all(connection), time.monotonic() - began
            until = time.monotonic() + period
            while time.monotonic() < until:
                try:
                    piece = connection.recv(65536)
                    if not piece:
                        return received, time.monotonic() - began
                    received += piece
                except BlockingIOError:
                    time.sleep(0.01)
                except OSError:
                    return received, time.monotonic() - began
            assert time.monotonic() - began < limit, "the host has endless patience"
        return received, time.monotonic() - began


@pytest.mark.parametrize("what", [
    b"GET /livez HT" + b"T" * 1000,                         # a request line that never ends
    b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: " + b"b" * 1000,  # a head that never ends
    b"\r\n" * 500,                                          # not even a request line
])
def test_dripped_heads_time_out(hasty, what):
    before = hasty.metric("ragify_http_refused_total", reason="head-timeout")
    raw, took = drip(hasty, what)
    assert took >= 0.9
    assert raw == b"" or raw.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in raw or raw == b""
    assert hasty.metric("ragify_http_refused_total", reason="head-timeout") > before


def test_dripped_bodies_time_out(hasty):
    raw, took = drip(hasty, HEAD + b"Content-Length: 5000\r\n\r\n" + b" " * 5000, 0.02)
    assert raw.startswith(b"HTTP/1.1 408 ")
    assert took >= 0.9
    raw, took = drip(hasty, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 500, 0.02)
    assert raw.startswith(b"HTTP/1.1 408 ")
    assert took >= 0.9


@pytest.mark.parametrize("part", [b"", b"G", b"GET /livez", b"GET /livez HTTP/1.1\r\nHost: a\r\n",
                                  HEAD + b"Content-Length: 13\r\n\r\n", HEAD + b"Content-Length: 13\r\n\r\n{"])
def test_half_requests_time_out(hasty, part):
    began = time.monotonic()
    with hasty.connect() as connection:
        connection.sendall(part)
        raw = receive_all(connection)
    took = time.monotonic() - began
    assert took >= 0.9
    assert raw.startswith(b"HTTP/1.1 408 ") or part == b""


def test_a_second_half_head_times_out_too(hasty):
    with hasty.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /liv")
        raw = receive_all(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+)", raw) == [b"200", b"408"]


def test_a_client_that_does_not_read_is_let_go(make_host):
    host = make_host(name="unread", embed=False, http="body-timeout = 1s\nidle-timeout = 2s\nhead-timeout = 1s")
    request = b"GET /v1/stats HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", host.port))
        connection.setblocking(False)
        deadline = time.monotonic() + 180
        sent = True
        while host.metric("ragify_http_refused_total", reason="send-timeout") == 0:
            assert time.monotonic() < deadline
            try:
                if sent:
                    connection.send(request * 50)
            except BlockingIOError:
                pass
            except OSError:
                sent = False
            time.sleep(0.2)
    assert host.get("/livez").status == 200


def test_clients_that_leave(host):
    """Whatever a client leaves unfinished, the host forgets it."""
    requests = [
        b"", b"GET /li", b"GET /livez HTTP/1.1\r\n", HEAD, HEAD + b"Content-Length: 13\r\n\r\n{",
        HEAD + b"Content-Length: 13\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 13\r\n\r\n" + BODY + b"GET /livez HT",
        b"POST /v1/documents HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked"
        b"\r\n\r\n20\r\n" + b'{"id":"left","content":"left"}\r\n\r\n',
    ]
    before = host.descriptors()
    for number in range(400):
        connection = host.connect()
        if number % 3 == 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.sendall(requests[number % len(requests)])
        connection.close()
    wait_until(lambda: host.descriptors() <= before + 3)
    assert host.get("/v1/documents/left").status == 404
    wait_until(lambda: host.metric("ragify_http_requests_waiting") == 0)


def test_work_is_cancelled_when_the_client_leaves(host):
    from conftest import models_dir

    if models_dir() is None:
        pytest.skip("needs a model, for a request that takes a while")
    before = host.metric("ragify_http_clients_left_total")
    for number in range(200):
        body = json.dumps({"query": f"{number} " + "what is the meaning of this long question " * 200,
                           "cache": "bypass"}).encode()
        connection = host.connect()
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.001)
        connection.close()
        if host.metric("ragify_http_clients_left_total") > before:
            break
    assert host.metric("ragify_http_clients_left_total") > before
    wait_until(lambda: host.metric("ragify_http_requests_waiting") == 0)


def test_connection_limit_keeps_health_answerable(make_host):
    host = make_host(name="crowded", embed=False, http="max-connections = 20\nidle-timeout = 30s\nhead-timeout = 30s")
    held = []
    try:
        # Idle connections give way: the oldest is closed for each new one.
        for _ in range(60):
            held.append(host.connect())
        assert host.get("/livez").status == 200
        assert host.context(query="x").status == 200
        # Connections in the midst of a request do not; then only health is answered.
        for connection in held:
            connection.close()
        held = []
        wait_until(lambda: host.metric("ragify_http_connections") <= 1)
        for _ in range(30):  # more than the limit: one that is still idle may give way to the next
            connection = host.connect()
            connection.sendall(b"POST /v1/context HTTP/1.1\r\nHost: a\r\n")
            held.append(connection)
            time.sleep(0.02)
        # A connection whose head has not been looked at yet counts as idle and may still give way to a query.
        answers = []
        wait_until(lambda: answers.append(host.context(query="x")) or answers[-1].status == 503)
        answer = answers[-1]
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["connection"] == "close"
        for path in ("/livez", "/readyz", "/metrics", "/v1/health"):
            assert host.get(path).status == 200
        for _ in range(200):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", host.port))
            held.append(connection)
        time.sleep(0.5)
        assert host.descriptors() < 20 + 64 + 100
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: host.context(query="x").status == 200)


def test_connections_per_client(make_host):
    host = make_host(name="per-client", embed=False, http="max-connections-per-client = 4")
    held = [host.connect() for _ in range(4)]
    try:
        for connection in held:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        answer = host.get("/v1/documents")
        assert answer.status == 429
        assert answer.headers["retry-after"] == "1"
        assert host.get("/livez").status == 200
    finally:
        for connection in held:
            connection.close()


def test_stopping_fails_no_request(make_host):
    """SIGTERM under load: whoever is connected gets an answer and is told to go."""
    host = make_host(name="drained", embed=False)
    host.ingest([{"id": str(number), "content": f"document {number} about nothing"} for number in range(50)])
    failures, answers, going = [], [0], threading.Event()

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=300)
        while True:
            try:
                body = json.dumps({"query": f"document {number} {answers[0] % 7}"})
                connection.request("POST", "/v1/context", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException) as failure:
                failures.append(repr(failure))
                return
            if answer.status != 200:
                failures.append(str(answer.status))
            answers[0] += 1
            if answers[0] > 200:
                going.set()
            if answer.getheader("Connection") == "close":
                return

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    assert going.wait(60)
    host.stop()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert answers[0] > 200


def test_a_stop_can_wait_for_load_balancers_that_look_now_and_then(make_host):
    """With `drain-delay` /readyz fails first, and connections are taken as before."""
    host = make_host(name="delayed", embed=False, host="drain-delay = 8s")
    assert host.get("/readyz").status == 200
    stopper = threading.Thread(target=host.stop)
    stopper.start()
    wait_until(lambda: host.get("/readyz").status == 503)
    for _ in range(20):
        assert host.context(query="x").status == 200
    stopper.join(60)
    with pytest.raises(ConnectionError):
        host.connect()


def test_an_upload_under_way_is_finished_before_stopping(make_host):
    host = make_host(name="upload-stop", embed=False)
    lines = [json.dumps({"id": str(number), "content": f"document {number}"}).encode() + b"\n" for number in range(20)]
    size = sum(map(len, lines))
    with host.connect() as connection:
        connection.sendall(b"POST /v1/documents HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
                           b"Content-Length: %d\r\n\r\n" % size)
        connection.sendall(lines[0])
        time.sleep(0.2)
        stopper = threading.Thread(target=host.stop)
        stopper.start()
        time.sleep(0.3)
        connection.sendall(b"".join(lines[1:]))
        raw = receive_all(connection)
        stopper.join(60)
    assert raw.startswith(b"HTTP/1.1 200 OK"), raw
    assert b"Connection: close" in raw
    assert json.loads(raw.split(b"\r\n\r\n", 1)[1])["documents"] == 20
    assert not host.alive()


def test_memory_and_descriptors_stay_flat(host):
    """Every kind of refusal, many times over."""
    bad = [
        HEAD + b"Content-Length: 1\r\n\r\n{", HEAD + b"Content-Length: 99999999\r\n\r\n{", b"\x00" * 100,
        b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        b"GET /v1/documents/x?store=none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"POST /v1/documents?store=none HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    ]

    def burst(count):
        for number in range(count):
            host.raw(bad[number % len(bad)], half_close=True)

    burst(700)
    memory, descriptors = host.resident(), host.descriptors()
    burst(3000)
    assert host.resident() - memory < (48 if host.sanitized() else 4) * 1024 * 1024
    assert host.descriptors() <= descriptors + 3
