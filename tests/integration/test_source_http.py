"""Search APIs as sources, through the whole host: real HTTP servers, good and bad ones, and nginx for TLS."""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "common" / "scripted_http.py"


class Api:
    """The scripted server: each source has a behaviour of its as the first segment of its path."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().split()[1])

    def url(self, behaviour):
        return f"http://127.0.0.1:{self.port}/{behaviour}"

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def requests(self, behaviour):
        return [event for event in self.get("/_events")
                if event["event"] == "request" and event["target"].startswith(f"/{behaviour}")]

    def stop(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def api():
    server = Api()
    yield server
    server.stop()


def configuration(sources, pipeline="deadline = 60s"):
    """sources: name → lines."""
    lines = ["[host]", "threads = 2", "[http public]", "listen = 127.0.0.1:0"]
    for name, keys in sources.items():
        lines += [f"[source {name}]", "plugin = http", "keep-alive = 1s", *keys]
    lines += ["[pipeline default]", f"retrieve = {'; '.join(sources)}", pipeline]
    return "\n".join(lines) + "\n"


def wait_until(condition, limit=180):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def host(make_host, api):
    return make_host(configuration({
        "good": [f"base-url = {api.url('ok')}", "score = source"],
        "gone": ["base-url = http://127.0.0.1:1/", "retry = 0"],
        "silent": [f"base-url = {api.url('silent')}", "deadline = 300ms"],
        "lying": [f"base-url = {api.url('lie/bad-utf8')}"],
        "endless": [f"base-url = {api.url('endless')}", "max-response-size = 64KiB"],
        "flaky": [f"base-url = {api.url('flaky/503/2/1')}", "url = {base-url}/x?q={query}&limit={limit}"],
        "forever": [f"base-url = {api.url('silent/forever')}"],
    }), name="apis")


def test_a_nul_in_metadata_costs_no_client_its_answer(make_host, api):
    host = make_host(configuration({"odd": [f"base-url = {api.url('lie/nul-metadata')}"]}), name="odd")
    assert host.context(query="x").json["chunks"][0]["metadata"] == {"a": "b\0c"}
    page = host.post("/v1/vector_stores/default/search", {"query": "x"}).json
    assert [(result["content"][0]["text"], result["attributes"]) for result in page["data"]] == \
        [("plain text", {"a": "b\0c"})]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "search_context", "arguments": {"query": "x"}}}
    result = host.post("/mcp", call).json["result"]
    assert result["isError"] is False and "plain text" in result["content"][0]["text"]
    assert result["structuredContent"]["chunks"][0]["metadata"] == {"a": "b\0c"}


def ask(host, *sources, **fields):
    answer = host.context(query=fields.pop("query", "leek soup"), sources=list(sources), cache="bypass", **fields)
    return answer.json if answer.status == 200 else answer


def test_passages_of_an_api(host):
    answer = ask(host, "good", max_chunks=3)
    assert [chunk["content"] for chunk in answer["chunks"]] == [f"leek soup: passage {i}" for i in range(3)]
    first = answer["chunks"][0]
    assert first["source"]["name"] == "good" and first["source"]["uri"] == "https://docs.test/0"
    assert first["score_kind"] == "source" and first["relevance_score"] == 1
    assert first["metadata"] == {"lang": "en", "n": 0} and first["created_at"].startswith("2024-05-01T00:00:00")
    assert answer["degraded"] is False


def test_filters_are_applied_by_the_host(host):
    answer = ask(host, "good", max_chunks=10, filter={"n": {"gte": 3}})
    assert answer["chunks"] and all(chunk["metadata"]["n"] >= 3 for chunk in answer["chunks"])


def test_every_bad_source_is_named_and_the_good_one_answers(host, api):
    answer = ask(host, "good", "gone", "silent", "lying", "endless")
    assert answer["degraded"] is True and len(answer["chunks"]) > 0
    assert all(chunk["source"]["name"] == "good" for chunk in answer["chunks"])
    states = {name: block["status"] for name, block in answer["sources"].items()} \
        if isinstance(answer["sources"], dict) else {block["name"]: block["status"] for block in answer["sources"]}
    assert states == {"good": "ok", "gone": "error", "silent": "timeout", "lying": "error", "endless": "error"}
    wait_until(lambda: any(event["event"] == "hangup" for event in api.get("/_events")))


def test_a_service_that_is_busy_is_asked_again_as_late_as_it_says(host, api):
    began = time.monotonic()
    answer = ask(host, "flaky")
    assert answer["degraded"] is False and len(answer["chunks"]) > 0
    assert len(api.requests("flaky")) == 3
    assert time.monotonic() - began >= 2  # twice the second that Retry-After asks for: never earlier


def test_a_client_that_hangs_up_is_no_longer_asked_for(host, api):
    before = sum(event["event"] == "hangup" for event in api.get("/_events"))
    body = json.dumps({"query": "x", "sources": ["forever"], "cache": "bypass", "timeout_ms": 60000}).encode()
    connection = host.connect()
    connection.sendall(b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                       b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
    wait_until(lambda: api.requests("silent/forever"))
    connection.close()
    wait_until(lambda: sum(event["event"] == "hangup" for event in api.get("/_events")) > before)


def test_nothing_is_left_open(host, api):
    for _ in range(3):
        ask(host, "good", "silent", "lying", "endless")
    usual = host.descriptors()
    for _ in range(10):
        ask(host, "good", "silent", "lying", "endless")
    wait_until(lambda: host.descriptors() <= usual + 2)  # an idle connection for each of two loops may come and go
    wait_until(lambda: api.get("/_connections") == 0)


# ---- TLS, by nginx ----

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  default_type application/json; gzip on; gzip_types application/json; gzip_min_length 1;
  server {{
    listen 127.0.0.1:{tls} ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location /search {{ return 200 '{{"results":[{{"content":"over TLS to $server_protocol with $http_authorization"}}]}}'; }}
    location /down/search {{ return 302 http://localhost:{plain}/plain; }}
    location /other/search {{ return 302 https://127.0.0.1:{tls}/search; }}
  }}
  server {{
    listen 127.0.0.1:{plain};
    location /up/search {{ return 301 https://localhost:{tls}/search; }}
    location /plain {{ return 200 '{{"results":[{{"content":"in the clear"}}]}}'; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    import socket
    folder = tmp_path_factory.mktemp("nginx")
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, tls=ports[0], plain=ports[1]))
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")],
                               env={"PATH": os.environ["PATH"] + ":/usr/sbin"}, stderr=subprocess.DEVNULL)

    def up():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", ports[0])) == 0

    wait_until(up)
    yield folder, ports[0], ports[1]
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def secure(make_host, nginx):
    folder, tls, plain = nginx
    token = folder / "token"
    token.write_text("s3cret\n")
    known = [f"tls-ca = {folder}/cert.pem", f"token-file = {token}"]
    return make_host(configuration({
        "known": [f"base-url = https://localhost:{tls}", *known],
        "unknown": [f"base-url = https://localhost:{tls}", f"token-file = {token}"],
        "careless": [f"base-url = https://localhost:{tls}", "tls-verify = false"],
        "down": [f"base-url = https://localhost:{tls}/down", *known],
        "up": [f"base-url = http://localhost:{plain}/up", *known],
        "other": [f"base-url = https://localhost:{tls}/other", *known, "allow-private = true"],
    }), name="secure")


def test_tls_with_a_known_authority(secure):
    assert ask(secure, "known")["chunks"][0]["content"] == "over TLS to HTTP/1.1 with Bearer s3cret"


def test_tls_with_an_unknown_authority_is_refused(secure):
    answer = ask(secure, "unknown")
    assert answer.status == 503 and "certificate" in answer.body.decode()
    assert ask(secure, "careless")["chunks"][0]["content"] == "over TLS to HTTP/1.1 with "
    assert "tls-verify = false" in secure.log()


def test_redirects_do_not_take_credentials_along(secure):
    assert "from https to http" in ask(secure, "down").body.decode()
    assert ask(secure, "other")["chunks"][0]["content"] == "over TLS to HTTP/1.1 with "
    assert ask(secure, "up")["chunks"][0]["content"] == "over TLS to HTTP/1.1 with "


def test_the_token_is_nowhere_to_be_read(secure):
    assert "s3cret" not in secure.log()
