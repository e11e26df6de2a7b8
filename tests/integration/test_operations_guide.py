"""docs/operations.md, "From nothing to three hosts": the page's own commands, one block after the other, from an empty folder to three
hosts with TLS, keys, PostgreSQL and Redis behind HAProxy (docs/reverse-proxy.md), and what Prometheus reads. Only places are
changed: 10.0.0.1 to 10.0.0.3 are 127.0.0.1 to 127.0.0.3. (A rolling restart under load: test_replicas.py.)"""

import http.client
import json
import re
import shutil
import ssl
import subprocess
import time

import pytest
from postgres_server import PostgresServer, free_port, vector_binaries
from redis_server import Redis

from conftest import Host, ROOT, build_dir, host_executable, models_dir

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
GUIDE = OPERATIONS[OPERATIONS.index("## From nothing to three hosts"):OPERATIONS.index("## In a container")]
PROXY = (ROOT / "docs" / "reverse-proxy.md").read_text()
CTL = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"

pytestmark = pytest.mark.skipif(
    vector_binaries() is None or models_dir() is None or not shutil.which("redis-server") or not shutil.which("openssl")
    or not shutil.which("haproxy")
    or not list(build_dir().glob("plugins/*/store-pgvector.so")) or not list(build_dir().glob("plugins/*/cache-redis.so")),
    reason="needs PostgreSQL with pgvector, Redis, a model, openssl, HAProxy, and the plugins for them")


def block(begin, language="sh", page=GUIDE):
    """The block of the page that has these words."""
    return next(text for text in re.findall(rf"```{language}\n(.*?)```", page, re.S) if begin in text)


def changed(text, *changes):
    for old, new in changes:
        assert old in text, (old, text)
        text = text.replace(old, new)
    return text


def run(script, folder):
    done = subprocess.run(["bash", "-eu", "-c", script], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, script + done.stdout + done.stderr
    return done.stdout


class Machine:
    """One of the three."""

    def __init__(self, folder, number):
        self.address, self.port = f"127.0.0.{number}", free_port()
        self.folder = folder / f"machine-{number}"
        self.etc = self.folder / "etc"
        (self.etc / "ragify.conf.d").mkdir(parents=True)
        self.host = None

    def prepare(self, folder, dsn, keys):
        script = changed(block("install -d -m 0750"), ("-g ragify ", ""), ("10.0.0.1.", f"{self.address}."),
                         ("postgresql://ragify:one-secret@10.0.0.10/ragify", dsn), ("/etc/ragify", str(self.etc)))
        run(script, folder)
        assert (self.etc / "tls" / "privkey.pem").stat().st_mode & 0o777 == 0o640
        shutil.copy(keys, self.etc / "keys") if keys is not None else None

    def configure(self, redis_port):
        script = changed(block("50-replicas.conf"), ("/etc/ragify", str(self.etc)), ("10.0.0.10:6379", f"127.0.0.1:{redis_port}"),
                         ("/usr/share/doc/ragify", str(ROOT / "config")), ("0.0.0.0:8443", f"{self.address}:{self.port}"))
        lines = script.splitlines()
        assert lines[-1] == "runuser -u ragify -- ragify-host --check --connect && systemctl restart ragify"
        run("\n".join(lines[:-1]), self.folder)
        # That of the shipped file is 8080, on each of the three machines.
        (self.etc / "ragify.conf.d" / "99-test.conf").write_text("[http public]\nlisten = 127.0.0.1:0\n")

    def start(self):
        self.host = Host(self.folder, "", ["--config", str(self.etc / "ragify.conf.d")])
        self.host.config_path = ROOT / "ragify.conf.d"
        command = [str(host_executable()), "--check", "--connect", "--config", str(ROOT / "ragify.conf.d"), "--config",
                   str(self.etc / "ragify.conf.d"), "--state-dir", str(self.host.state), "--plugin-dir", str(self.host.plugins()),
                   "--models-dir", str(models_dir())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        self.host.start()


def new_keys(machine, folder):
    """The keys of the page's names, as its commands make them."""
    keys = {}
    for line in block("ragify-ctl keys new app").splitlines():
        if line.startswith("ragify-ctl "):
            said = run(changed(line, ("ragify-ctl", str(CTL)), ("/etc/ragify", str(machine.etc))), folder)
            keys[line.split()[3]] = re.search(r"rgf_[0-9A-Za-z_-]+", said)[0]
    assert set(keys) == {"app", "prometheus"}
    return keys


class Front:
    """HAProxy as the page has it."""

    def __init__(self, folder, machines):
        self.port = free_port()
        first = re.search(r"```haproxy\n(.*?)^frontend", PROXY, re.S | re.M)[1]
        text = changed(first + block("ssl verify required", "haproxy", PROXY), ("bind :443", f"bind 127.0.0.1:{self.port}"),
                       ("/etc/haproxy/ragify-ca.pem", str(folder / "ca.pem")), ("/etc/haproxy/ragify.pem", str(folder / "front.pem")),
                       *((f"10.0.0.{number}:8443", f"{machine.address}:{machine.port}")
                         for number, machine in enumerate(machines, 1)))
        (folder / "front.pem").write_text((folder / "127.0.0.1.pem").read_text() + (folder / "127.0.0.1.key").read_text())
        (folder / "haproxy.cfg").write_text(text)
        self.log = open(folder / "haproxy.log", "wb")
        self.process = subprocess.Popen(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stdout=self.log, stderr=self.log)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    folder = tmp_path_factory.mktemp("production")
    machines = [Machine(folder, number) for number in (1, 2, 3)]
    redis = Redis(folder).start()
    front = None
    try:
        with PostgresServer(bin=vector_binaries()) as server:
            server.sql("CREATE EXTENSION vector")
            redis.command("CONFIG", "SET", "requirepass", "another-secret")
            run(changed(block("openssl req -x509"), ("10.0.0.", "127.0.0.")), folder)
            machines[0].prepare(folder, server.dsn(), None)
            keys = new_keys(machines[0], folder)
            for machine in machines[1:]:
                machine.prepare(folder, server.dsn(), machines[0].etc / "keys")
            for machine in machines:
                machine.configure(redis.port)
                machine.start()
            front = Front(folder, machines)
            yield machines, front, keys, folder
            for machine in machines:
                machine.host.stop()
    finally:
        if front is not None:
            front.stop()
        for machine in machines:
            if machine.host is not None and machine.host.alive():
                machine.host.kill()
        redis.stop()


def ask(folder, address, port, key, method, path, body=None):
    connection = http.client.HTTPSConnection(address, port, timeout=300, context=ssl.create_default_context(cafile=folder / "ca.pem"))
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def at_front(production, key, *arguments):
    """Through the proxy, which finds the hosts well when it has asked them."""
    _, front, _, folder = production
    deadline = time.monotonic() + 180
    while True:
        try:
            status, body = ask(folder, "127.0.0.1", front.port, key, *arguments)
            if status != 503:
                return status, body
        except OSError:
            pass
        assert time.monotonic() < deadline, (folder / "haproxy.log").read_text()
        time.sleep(0.1)


def test_an_application_with_its_key_is_served_through_the_proxy(production):
    machines, _, keys, folder = production
    document = {"documents": [{"id": "lease", "content": "The lease ends in March 2027."}]}
    assert at_front(production, keys["app"], "POST", "/v1/documents", document)[0] == 200
    status, body = at_front(production, keys["app"], "POST", "/v1/context", {"query": "When does the lease end?"})
    assert status == 200 and json.loads(body)["chunks"][0]["document_id"] == "lease"
    # Whichever host is asked finds it.
    for machine in machines:
        status, body = ask(folder, machine.address, machine.port, keys["app"], "GET", "/v1/context?q=lease+march&cache=bypass")
        assert status == 200 and json.loads(body)["chunks"][0]["document_id"] == "lease", body


def test_prometheus_reads_each_host_and_cannot_write(production):
    machines, _, keys, folder = production
    (folder / "prometheus.key").write_text(keys["prometheus"])
    text = changed(block("scrape_configs", "yaml"), ("/etc/prometheus/ragify-ca.pem", str(folder / "ca.pem")),
                   ("/etc/prometheus/ragify.key", str(folder / "prometheus.key")),
                   *((f"10.0.0.{number}:8443", f"{machine.address}:{machine.port}") for number, machine in enumerate(machines, 1)))
    (folder / "prometheus.yml").write_text(text)
    if shutil.which("promtool"):
        run("promtool check config prometheus.yml", folder)
    for address, port in (target.split(":") for target in re.findall(r'"([\d.]+:\d+)"', text)):
        status, metrics = ask(folder, address, int(port), keys["prometheus"], "GET", "/metrics")
        assert status == 200
        for expression in re.findall(r"^\| .* \| `(.*?)`", GUIDE[GUIDE.index("| alert |"):], re.M):
            for name in re.findall(r"ragify_[a-z_]+", expression):
                assert f"# TYPE {name} " in metrics or f"# TYPE {name.removesuffix('_total')} " in metrics, name
        assert ask(folder, address, int(port), keys["prometheus"], "POST", "/v1/documents", {"documents": []})[0] == 403


def test_nobody_else_is_let_in(production):
    assert at_front(production, None, "GET", "/v1/context?q=lease")[0] == 401
    assert at_front(production, None, "GET", "/readyz")[0] == 200
