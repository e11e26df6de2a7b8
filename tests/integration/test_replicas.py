"""Three hosts that share Redis and PostgreSQL behind a proxy, as docs/reverse-proxy.md has it: restarted one after the other
under load, with documents coming and going, no request fails."""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest
from postgres_server import PostgresServer, vector_binaries
from redis_server import Redis

from conftest import ROOT, build_dir, models_dir

pytestmark = pytest.mark.skipif(
    vector_binaries() is None or models_dir() is None or shutil.which("redis-server") is None
    or not list(build_dir().glob("plugins/*/store-pgvector.so")) or not list(build_dir().glob("plugins/*/cache-redis.so")),
    reason="needs PostgreSQL with pgvector, Redis, a model, and the plugins for them")

TOPICS = "amber birch cedar delta ember fjord grove heath islet jetty knoll lagoon meadow nook oasis prairie".split()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def from_docs(language):
    """The configuration that docs/reverse-proxy.md shows."""
    page = (ROOT / "docs" / "reverse-proxy.md").read_text()
    return re.search(rf"```{language}\n(.*?)```", page, re.S)[1]


def replicas_config(dsn, redis_port, port):
    """config/examples/replicas.conf, with places of this test."""
    text = (ROOT / "config" / "examples" / "replicas.conf").read_text()
    for old, new in (("127.0.0.1:8080", f"127.0.0.1:{port}"), ("${DOCS_DSN}", dsn),
                     ("redis://localhost:6379/0", f"redis://127.0.0.1:{redis_port}/0")):
        assert old in text, old
        text = text.replace(old, new)
    return text + "\n[host]\nthreads = 1\nhealth-interval = 1s\n"


@pytest.fixture(scope="module")
def replicas(make_host, tmp_path_factory):
    redis = Redis(tmp_path_factory.mktemp("redis")).start()
    with PostgresServer(bin=vector_binaries()) as server:
        server.sql("CREATE EXTENSION vector")
        hosts = [make_host(config=replicas_config(server.dsn(), redis.port, free_port()), name=f"replica-{name}")
                 for name in "abc"]
        hosts[0].ingest([{"id": f"{topic}-{number}", "content": f"Notes about the {topic}, page {number}: it lies by the water."}
                         for topic in TOPICS for number in range(4)])
        yield hosts
        for host in hosts:
            host.stop()
    redis.stop()


class Proxy:
    """One of the three, on a free port, in a folder of its own."""

    def __init__(self, name, folder, hosts):
        self.name, self.folder, self.port = name, folder, free_port()
        text = from_docs({"haproxy": "haproxy", "nginx": "nginx", "caddy": "caddy"}[name])
        for port, host in zip((8081, 8082, 8083), hosts):
            assert f"127.0.0.1:{port}" in text
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{host.port}")
        assert "127.0.0.1:8000" in text
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        self.command = getattr(self, name)(text)
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(self.command, cwd=folder, stdout=self.log, stderr=self.log,
                                        env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)})
        deadline = time.monotonic() + 180
        while not self.well():
            assert time.monotonic() < deadline and self.process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)

    def haproxy(self, text):
        (self.folder / "haproxy.cfg").write_text(text)
        return ["haproxy", "-db", "-f", "haproxy.cfg"]

    def nginx(self, text):
        places = "".join(f"{name}_temp_path {self.folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(
            f"daemon off; pid {self.folder}/pid; error_log stderr; worker_processes 1;\nevents {{ worker_connections 1024; }}\n"
            f"http {{ access_log off;\n{places}{text}}}\n")
        if os.geteuid() == 0:
            (self.folder / "nginx.conf").write_text("user root;\n" + (self.folder / "nginx.conf").read_text())
        return ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]

    def caddy(self, text):
        (self.folder / "Caddyfile").write_text("{\n    admin off\n}\n" + text)
        return ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]

    def well(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class Load:
    """Clients with one connection each, who ask, ingest and delete until told to stop; every answer that is not as it
    should be is kept."""

    def __init__(self, port):
        self.port, self.over, self.failures, self.answers = port, threading.Event(), [], 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(work, number))
                        for number, work in enumerate([self.ask, self.ask, self.ask, self.ask, self.write])]
        for thread in self.threads:
            thread.start()

    def request(self, connection, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        with self.lock:
            self.answers += 1
        if answer.status != 200:
            raise ValueError(f"{method} {path}: {answer.status} {data[:300]}")
        if answer.getheader("Connection") == "close":
            connection.close()  # it opens again by itself
        return json.loads(data)

    def ask(self, connection, number, turn):
        topic = TOPICS[(turn + number) % len(TOPICS)]
        query = f"{topic} page {turn % 40}" if turn % 5 else f"{topic} and water {turn} {number}"
        found = self.request(connection, "POST", "/v1/context", {"query": query, "max_chunks": 3})
        if not found["chunks"] or found["degraded"]:
            raise ValueError(f"{query}: {found}")

    def write(self, connection, number, turn):
        document = {"id": f"load-{turn % 7}", "content": f"A passing remark of turn {turn} about nothing."}
        self.request(connection, "POST", "/v1/documents", {"documents": [document]})
        if turn % 3 == 0:
            self.request(connection, "DELETE", f"/v1/documents/load-{turn % 7}")

    def run(self, work, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        turn = 0
        while not self.over.is_set():
            try:
                work(connection, number, turn)
            except Exception as failure:  # whatever it is, a client saw it
                with self.lock:
                    self.failures.append(repr(failure))
                connection.close()
            turn += 1

    def wait_for(self, count):
        with self.lock:
            wanted = self.answers + count
        deadline = time.monotonic() + 180
        while self.answers < wanted:
            assert time.monotonic() < deadline, (self.answers, self.failures)
            time.sleep(0.05)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


@pytest.mark.parametrize("name", ["haproxy", "nginx", pytest.param("caddy", marks=pytest.mark.long)])
def test_a_rolling_restart_under_load_fails_no_request(replicas, tmp_path, name):
    if shutil.which(name) is None:
        pytest.skip(f"no {name}")
    for host in replicas:  # as the page has it for the proxy that does not try again
        config = re.sub(r"\ndrain-delay = .*", "", host.config_path.read_text())
        host.config_path.write_text(config + ("\ndrain-delay = 2s\n" if name == "caddy" else ""))
        assert host.post("/v1/admin/reload", {}).status == 200
    proxy = Proxy(name, tmp_path, replicas)
    try:
        load = Load(proxy.port)
        try:
            for host in replicas:
                load.wait_for(40)
                host.stop()
                load.wait_for(20)  # by two
                host.start()
                deadline = time.monotonic() + 180
                while host.metric("ragify_http_requests_total", route="/v1/context", status="200") == 0:  # until the proxy has seen it
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            load.wait_for(40)
        finally:
            load.stop()
        assert load.failures == [], f"{len(load.failures)} of {load.answers}: {load.failures[:5]}\n{(tmp_path / 'log').read_text()[-2000:]}"
        assert all(host.metric("ragify_http_requests_total", route="/v1/context") > 0 for host in replicas)
    finally:
        proxy.stop()


def test_what_one_writes_all_find(replicas):
    a, b, c = replicas
    a.ingest([{"id": "shared", "content": "The zeppelin of the shared document hangs over the hall."}])
    for host in (b, c):
        found = host.context(query="zeppelin over the hall", max_chunks=1, cache="bypass").json
        assert found["chunks"][0]["document_id"] == "shared", found
    # One computes, the others have it from Redis: as soon as all know of the write, and the answer is there.
    deadline, turn = time.monotonic() + 180, 0
    while True:
        turn += 1
        query = f"zeppelin hall of the shared document {turn}"
        assert a.context(query=query).json["cache"] == "miss"
        time.sleep(0.1 * turn)
        if (found := b.context(query=query).json)["cache"] == "redis":
            break
        assert time.monotonic() < deadline, found
    assert c.request("DELETE", "/v1/documents/shared").status == 200
    deadline = time.monotonic() + 180
    while any(chunk["document_id"] == "shared" for host in (a, b) for chunk in host.context(query=query).json["chunks"]):
        assert time.monotonic() < deadline, "a deleted document is still given out of the cache"
        time.sleep(0.1)


def test_http_2_by_the_proxy(replicas, tmp_path):
    """TLS and HTTP/2 at HAProxy, as the commented line of the page says."""
    curl = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=False).stdout if shutil.which("curl") else ""
    if shutil.which("haproxy") is None or shutil.which("openssl") is None or "HTTP2" not in curl:
        pytest.skip("no haproxy, openssl, or curl with HTTP/2")
    pem = tmp_path / "ragify.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")], check=True, capture_output=True)
    pem.write_text((tmp_path / "cert").read_text() + (tmp_path / "key").read_text())
    port = free_port()
    page = from_docs("haproxy")
    assert "# bind :443 ssl crt /etc/haproxy/ragify.pem alpn h2,http/1.1" in page

    class Secure(Proxy):
        def haproxy(self, text):
            return super().haproxy(text.replace("# bind :443 ssl crt /etc/haproxy/ragify.pem",
                                                f"bind 127.0.0.1:{port} ssl crt {pem}"))

    proxy = Secure("haproxy", tmp_path, replicas)
    try:
        done = subprocess.run(["curl", "--silent", "--http2", "--cacert", str(tmp_path / "cert"), "--resolve", f"localhost:{port}:127.0.0.1",
                               "--write-out", "\n%{http_version} %{http_code}", f"https://localhost:{port}/v1/context?q=amber"],
                              capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.splitlines()[-1] == "2 200", done
    finally:
        proxy.stop()
