"""docs/operations.md, "From nothing to three hosts": the configuration of one of them, exactly as the page puts it together from what
ships, the example and the listener, with real TLS, keys, PostgreSQL and Redis. (Three of them: test_replicas.py.)"""

import http.client
import json
import re
import shutil
import ssl
import subprocess

import pytest
from postgres_server import PostgresServer, free_port, vector_binaries
from redis_server import Redis

from conftest import Host, ROOT, build_dir, models_dir

PAGE = (ROOT / "docs" / "operations.md").read_text()
CTL = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"

pytestmark = pytest.mark.skipif(
    vector_binaries() is None or models_dir() is None or not shutil.which("redis-server") or not shutil.which("openssl")
    or not list(build_dir().glob("plugins/*/store-pgvector.so")) or not list(build_dir().glob("plugins/*/cache-redis.so")),
    reason="needs PostgreSQL with pgvector, Redis, a model, openssl, and the plugins for them")


def new_key(file, name, scope):
    line = next(line for line in PAGE.splitlines() if line.startswith(f"ragify-ctl keys new {name} "))
    words = line.split()[1:]
    assert words[-1] == "/etc/ragify/keys" and scope in words
    made = subprocess.run([str(CTL), *words[:-1], str(file)], capture_output=True, text=True, timeout=60, check=True)
    return re.search(r"rgf_[0-9A-Za-z_-]+", made.stdout)[0]


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    folder = tmp_path_factory.mktemp("production")
    redis = Redis(folder).start()
    tls = folder / "tls"
    tls.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tls / "privkey.pem"), "-out",
                    str(tls / "fullchain.pem")], check=True, capture_output=True)
    with PostgresServer(bin=vector_binaries()) as server:
        server.sql("CREATE EXTENSION vector")
        etc = folder / "etc"
        etc.mkdir()
        for name in re.search(r"an empty (.*?) beside it", PAGE, re.S)[1].replace("and", ",").split(","):
            (etc / name.strip().strip("`")).write_text("")
        listener = re.search(r"```ini\n(\[http local\].*?)```", PAGE, re.S)[1]
        example = (ROOT / "config" / "examples" / "replicas.conf").read_text()
        text = example.replace("[http local]\nlisten = 127.0.0.1:8080\n", listener)
        assert text != example
        port = free_port()
        for old, new in (("0.0.0.0:8443", f"127.0.0.1:{port}"), ("/etc/ragify", str(folder)), ("${DOCS_DSN}", server.dsn()),
                         ("redis://localhost:6379/0", f"redis://127.0.0.1:{redis.port}/0")):
            assert old in text, old
            text = text.replace(old, new)
        (etc / "10-replicas.conf").write_text(text)
        (etc / "99-test.conf").write_text("[http public]\nlisten = 127.0.0.1:0\n")  # that of the shipped file is 8080
        keys = {name: new_key(folder / "keys", name, scope) for name, scope in (("app", "write"), ("prometheus", "read"))}
        host = Host(folder, "", ["--config", str(etc)])
        host.config_path = ROOT / "ragify.conf.d"
        host.start()
        yield host, port, keys, tls / "fullchain.pem"
        host.stop()
    redis.stop()


def ask(production, key, method, path, body=None):
    _, port, _, certificate = production
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=300, context=ssl.create_default_context(cafile=certificate))
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_an_application_with_its_key_is_served_over_tls(production):
    key = production[2]["app"]
    assert ask(production, key, "POST", "/v1/documents", {"documents": [{"id": "lease", "content": "The lease ends in March 2027."}]})[0] == 200
    status, body = ask(production, key, "POST", "/v1/context", {"query": "When does the lease end?"})
    assert status == 200 and json.loads(body)["chunks"][0]["document_id"] == "lease"
    assert json.loads(ask(production, key, "POST", "/v1/context", {"query": "When does the lease end?"})[1])["cache"] in ("memory", "redis")


def test_prometheus_reads_and_cannot_write(production):
    key = production[2]["prometheus"]
    status, text = ask(production, key, "GET", "/metrics")
    assert status == 200
    for expression in re.findall(r"^\| .* \| `(.*?)`", PAGE[PAGE.index("| alert |"):], re.M):
        for name in re.findall(r"ragify_[a-z_]+", expression):
            family = name.removesuffix("_total")
            assert f"# TYPE {name} " in text or f"# TYPE {family} " in text, name
    assert ask(production, key, "POST", "/v1/documents", {"documents": [{"id": "a", "content": "b"}]})[0] == 403


def test_nobody_else_is_let_in(production):
    assert ask(production, None, "GET", "/v1/context?q=lease")[0] == 401
    assert ask(production, None, "GET", "/readyz")[0] == 200
