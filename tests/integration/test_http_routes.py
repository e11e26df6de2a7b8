"""Paths, methods, headers and the probes."""

import json
import re
import uuid

import pytest


def test_probes_answer(host):
    assert host.get("/livez").json == {"status": "alive"}
    assert host.get("/readyz").json == {"status": "ready"}
    health = host.get("/v1/health").json
    assert health["status"] == "healthy"
    assert health["pid"] == host.process.pid
    assert health["pipelines"] == ["default"]
    assert health["stores"] == ["docs"]


def test_stats_list_every_metric(host):
    stats = host.get("/v1/stats").json
    names = {metric["name"] for metric in stats["metrics"]}
    assert {"ragify_http_requests", "ragify_request_duration_seconds", "process_resident_memory_bytes"} <= names


@pytest.mark.parametrize("method, path, status, allow", [
    ("GET", "/nothing", 404, None),
    ("GET", "/v1", 404, None),
    ("GET", "/v1/contexts", 404, None),
    ("GET", "/v1/context/", 404, None),
    ("POST", "/livez", 405, "GET, HEAD"),
    ("PUT", "/v1/context", 405, "GET, HEAD, POST"),
    ("PUT", "/v1/documents", 405, "DELETE, GET, HEAD, POST"),
    ("POST", "/v1/documents/x", 405, "DELETE, GET, HEAD"),
    ("OPTIONS", "/v1/context", 405, "GET, HEAD, POST"),
    ("get", "/livez", 405, "GET, HEAD"),
    ("BREW", "/livez", 405, "GET, HEAD"),
])
def test_unknown_paths_and_methods(host, method, path, status, allow):
    answer = host.request(method, path)
    assert answer.status == status
    assert answer.headers.get("allow") == allow
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", [
    "//livez", "/v1//context", "/v1/../livez", "/./livez", "/v1/documents/..", "/v1/documents/a/../b",
    "/v1/documents/%00", "/v1/documents/a%00b", "/v1/documents/%ff%fe", "/v1/documents/%zz", "/v1/documents/%",
    "/livez?x=%00", "/livez?%c3%28=1", "/v1/documents/a//b", "/livez\\x", "/%2e%2e/livez", "/v1/%2e%2e/livez",
    "/v1/documents/%2e%2e", "/%6civez", "/livez%00", "/livez/", "/LIVEZ",
])
def test_path_tricks_are_refused(host, path):
    answer = host.get(path)
    assert answer.status in (400, 404), answer
    assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_query_parameters_are_named(host):
    for path in ("/livez?verbose=1", "/metrics?a=b", "/v1/documents?offset=3", "/v1/documents/x?stores=docs"):
        answer = host.get(path)
        assert answer.status == 400
        assert answer.json["field"] in path
    answer = host.post("/v1/context?q=x", {"query": "x"})
    assert answer.status == 400
    assert answer.json["field"] == "q"
    answer = host.get("/v1/context?q=x&colour=red")
    assert answer.status in (400, 422)
    assert answer.json["field"] == "colour"


@pytest.mark.parametrize("value", ["0", "1001", "-1", "1.5", "ten", "1e2", "99999999999999999999", ""])
def test_list_limit_is_checked(host, value):
    answer = host.get(f"/v1/documents?limit={value}")
    assert answer.status == 400
    assert answer.json["field"] == "limit"


def test_request_ids(host):
    answer = host.get("/readyz", {"X-Request-Id": "order-66_A.b~c"})
    assert answer.headers["x-request-id"] == "order-66_A.b~c"
    for unusable in ("", "x" * 37, "a b", "<script>", "ä", 'a"b'):
        given = host.get("/readyz", {"X-Request-Id": unusable.encode("utf-8")}).headers["x-request-id"]
        assert given != unusable
        assert str(uuid.UUID(given, version=4)) == given
    assert host.get("/readyz").headers["x-request-id"] != host.get("/readyz").headers["x-request-id"]


def test_request_id_is_in_the_answer(host):
    answer = host.post("/v1/context", {"query": "anything"}, {"X-Request-Id": "my-own"})
    assert answer.status == 200
    assert answer.json["request_id"] == "my-own"
    assert answer.headers["cache-control"] == "no-store"


def test_head_has_no_body(host):
    raw = host.raw(b"HEAD /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Content-Length: 18" in head
    assert body == b""
    raw = host.raw(b"HEAD /v1/context?q=x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 200") and raw.endswith(b"\r\n\r\n")


def test_keep_alive_and_pipelining(host):
    one = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    body = b'{"query":"x"}'
    post = (b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
            + str(len(body)).encode() + b"\r\n\r\n" + body)
    last = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    raw = host.raw(one + post + one + post + last)
    assert re.findall(rb"HTTP/1\.1 (\d+)", raw) == [b"200", b"200", b"200", b"200", b"404"]


def test_http_1_0(host):
    raw = host.raw(b"GET /livez HTTP/1.0\r\n\r\n")
    assert b" 200 OK\r\n" in raw
    assert raw.endswith(b'{"status":"alive"}')


def test_expect_continue(host):
    body = b'{"query":"x"}'
    head = (b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n")
    with host.connect() as connection:
        connection.sendall(head % len(body))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    with host.connect() as connection:
        connection.sendall(head % 50_000_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    raw = host.raw((head % 13).replace(b"100-continue", b"miracles") + body)
    assert raw.startswith(b"HTTP/1.1 417 ")


def test_unix_socket(make_host):
    import http.client
    import socket
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/ragify.sock"
        host = make_host(name="unix", listen=f"unix:{path}")
        for _ in range(8):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(path)
                client.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer = http.client.HTTPResponse(client)
                answer.begin()
                assert json.loads(answer.read()) == {"status": "ready"}
        host.stop()
        assert not host.alive()


def test_pipeline_by_path(host):
    assert host.post("/v1/p/default/context", {"query": "x"}).status == 200
    assert host.get("/v1/p/default/context?q=x").status == 200
    for answer in (host.get("/v1/p/nothing/context?q=x"), host.get("/v1/p/a%2Fb/context?q=x")):
        assert answer.status == 404
        assert answer.json["field"] == "pipeline"
    answer = host.post("/v1/context", {"query": "x", "pipeline": "nothing"})
    assert answer.status == 422
    assert answer.json["field"] == "pipeline"
    assert "default" in answer.json["detail"]
    assert host.get("/v1/p//context?q=x").status == 400
