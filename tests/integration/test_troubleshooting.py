"""docs/troubleshooting.md: every symptom there is brought about here, and the host says what the page quotes."""

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from conftest import ROOT, build_dir, embedded_config, host_executable, models_dir
from test_resilience_guide import Upstream

SYMPTOMS = {}


def symptom(text):
    """The function brings it about; what it returns has the text."""
    def keep(function):
        SYMPTOMS[text] = function
        return function
    return keep


def on_page():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    return [heading.strip("`") for heading in re.findall(r"^### (.*)$", page, re.M)]


def said_at_start(tmp_path, config, *arguments, plugins=True):
    """What a host says that does not start; it exits with 78."""
    (tmp_path / "ragify.conf").write_text(config)
    folder = tmp_path / "plugins"
    folder.mkdir(exist_ok=True)
    for module in build_dir().glob("plugins/*/*.so") if plugins else ():
        link = folder / module.name
        if not link.exists():
            link.symlink_to(module.resolve())
    done = subprocess.run([str(host_executable()), "--config", str(tmp_path / "ragify.conf"), "--state-dir", str(tmp_path / "state"),
                           "--plugin-dir", str(folder), *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 78, (done.returncode, done.stderr)
    return done.stderr


# ---- starting ----

@symptom("expected a model's folder, found none")
def no_model(make_host, tmp_path):
    return said_at_start(tmp_path, "[http a]\nlisten = 127.0.0.1:0\n[embedder e]\nplugin = local\nmodel = /nowhere\n[vector-store docs]\n"
                         "plugin = faiss\nembedder = e\npath = docs\n[pipeline default]\nretrieve = docs\n")


@symptom("Address already in use")
def address_in_use(make_host, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        return said_at_start(tmp_path, embedded_config(listen=f"127.0.0.1:{other.getsockname()[1]}", embed=False))


@symptom("which needs 'api-keys-file'")
def open_address(make_host, tmp_path):
    return said_at_start(tmp_path, embedded_config(listen="0.0.0.0:0", embed=False))


@symptom("no plugin for [vector-store] is installed")
def no_plugins(make_host, tmp_path):
    return said_at_start(tmp_path, embedded_config(embed=False), plugins=False)


@symptom("has this folder open")
def folder_taken(make_host, tmp_path):
    host = make_host(name="first", embed=False)
    return said_at_start(tmp_path, embedded_config(embed=False, store="lock-wait = 100ms"), "--state-dir", str(host.state))


@symptom("the service manager passed no socket")
def no_socket(make_host, tmp_path):
    return said_at_start(tmp_path, embedded_config(listen="systemd:http", embed=False))


# ---- answers ----

def with_upstream(make_host, behaviour, **keys):
    upstream, other = Upstream("a"), Upstream("b")
    lines = "\n".join(f"{name.replace('_', '-')} = {value}" for name, value in keys.items())
    host = make_host(config=f"[http a]\nlisten = 127.0.0.1:0\n[host]\nhealth-interval = 0\n[source api]\nplugin = http\nbase-url = {upstream.url}\n"
                     f"deadline = 300ms\nretry = 0\n{lines}\n[source other]\nplugin = http\nbase-url = {other.url}\n"
                     "[pipeline default]\nretrieve = api; other\n", name="upstream")
    upstream.behaviour = behaviour
    return host, upstream, other


@symptom('"degraded":true')
def degraded(make_host, tmp_path):
    host, upstream, other = with_upstream(make_host, "failing")
    try:
        return host.context(query="cats").body.decode()
    finally:
        upstream.close()
        other.close()


@symptom('"status":"timeout"')
def too_slow(make_host, tmp_path):
    host, upstream, other = with_upstream(make_host, "silent")
    try:
        return host.context(query="cats").body.decode()
    finally:
        upstream.close()
        other.close()


@symptom("open-circuit")
def circuit_open(make_host, tmp_path):
    host, upstream, other = with_upstream(make_host, "failing", breaker_failures=2, breaker_open="1min")
    try:
        for number in range(4):
            body = host.context(query=f"cats {number}").body.decode()
        return body
    finally:
        upstream.close()
        other.close()


@symptom('"chunks":[]')
def nothing_found(make_host, tmp_path):
    return make_host(name="empty", embed=False).context(query="anything").body.decode()


@symptom('"cache":"miss"')
def never_cached(make_host, tmp_path):
    host = make_host(name="missing", embed=False)
    for number in range(3):
        host.ingest([{"id": "1", "content": f"Version {number} of a document."}])
        body = host.context(query="a document").body.decode()
        assert '"cache":"miss"' in body
    assert host.context(query="a document").json["cache"] == "memory"
    return host.context(query="a document", cache="bypass").body.decode()


# ---- refusals ----

def with_keys(make_host, tmp_path, *arguments):
    ctl = str(build_dir() / "tools" / "ragify-ctl" / "ragify-ctl")
    made = subprocess.run([ctl, "keys", "new", "reader", "--file", str(tmp_path / "keys"), *arguments], capture_output=True, text=True,
                          timeout=60, check=True)
    host = make_host(name="keys", embed=False, http=f"api-keys-file = {tmp_path / 'keys'}")
    return host, {"Authorization": f"Bearer {re.search(r'rgf_[0-9A-Za-z_-]+', made.stdout)[0]}"}


def status_of(answer):
    return f"{answer.status} {answer.body.decode()}"


@symptom("401")
def no_key(make_host, tmp_path):
    host, _ = with_keys(make_host, tmp_path)
    return status_of(host.get("/v1/context?q=a"))


@symptom("403")
def wrong_scope(make_host, tmp_path):
    host, headers = with_keys(make_host, tmp_path)
    return status_of(host.request("DELETE", "/v1/documents/a", headers=headers))


@symptom("429")
def rate_used_up(make_host, tmp_path):
    host, headers = with_keys(make_host, tmp_path, "--rate", "1")
    answers = [host.get("/v1/context?q=a", headers) for _ in range(10)]
    refused = next(answer for answer in answers if answer.status != 200)
    assert refused.headers["retry-after"]
    return status_of(refused)


@symptom("413")
def body_too_large(make_host, tmp_path):
    return status_of(make_host(name="small", embed=False, http="max-body = 1KiB").context(query="a" * 2000))


@symptom("415")
def wrong_type(make_host, tmp_path):
    host = make_host(name="type", embed=False)
    return status_of(host.request("POST", "/v1/documents", b"%PDF-1.7", {"Content-Type": "application/pdf"}))


@symptom("422")
def wrong_value(make_host, tmp_path):
    answer = make_host(name="value", embed=False).context(query="a", max_chunks=0)
    assert answer.json["field"] == "max_chunks" and "expected" in answer.json["detail"]
    return status_of(answer)


@symptom("Overloaded")
def overloaded(make_host, tmp_path):
    host, upstream, other = with_upstream(make_host, "silent")
    host.stop()
    host.config_path.write_text(host.config_path.read_text().replace("[host]", "[host]\nmax-concurrent = 1\nqueue = 1"))
    host.start()
    bodies = []
    try:
        threads = [threading.Thread(target=lambda number=number: bodies.append(host.context(query=f"cats {number}").body.decode()))
                   for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return "".join(bodies)
    finally:
        upstream.close()
        other.close()


@symptom("Short of memory")
def short_of_memory(make_host, tmp_path):
    if models_dir() is None:
        pytest.skip("needs a model, for a host that is not tiny")
    host = make_host(name="tight", host="memory-limit = 64MiB\nhealth-interval = 0")
    deadline = time.monotonic() + 180
    while (answer := host.context(query="a")).status == 200:
        assert time.monotonic() < deadline, host.get("/v1/health").body
        time.sleep(0.1)
    return status_of(answer)


@symptom("507")
def disk_full(make_host, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=False).returncode != 0:
        pytest.skip("cannot mount a small file system")
    try:
        host = make_host(name="full-disk", embed=False, arguments=["--state-dir", str(folder)])
        with open(folder / "ballast", "wb") as ballast:
            try:
                while True:
                    ballast.write(b"\0" * 65536)
            except OSError:
                pass
        answer = host.post("/v1/documents", {"documents": [{"id": "1", "content": "No room. " * 20000}]})
        (folder / "ballast").unlink()
        host.ingest([{"id": "2", "content": "There is room again."}])
        host.stop()
        return status_of(answer)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# ---- connections ----

@symptom("must not come together")
def ambiguous(make_host, tmp_path):
    host = make_host(name="ambiguous", embed=False)
    return host.raw(b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").decode()


@symptom("408")
def too_late(make_host, tmp_path):
    return make_host(name="late", embed=False, http="head-timeout = 500ms").raw(b"GET /livez HT").decode()


@symptom("an empty reply")
def plain_to_tls(make_host, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")], check=True, capture_output=True)
    host = make_host(name="tls", embed=False, http=f"tls-cert = {tmp_path / 'cert.pem'}\ntls-key = {tmp_path / 'key.pem'}")
    assert host.address.startswith("https://")
    with socket.create_connection(("127.0.0.1", int(host.address.rsplit(":", 1)[1])), 30) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        try:
            while piece := connection.recv(4096):
                received += piece
        except OSError:
            pass
    assert b"HTTP/" not in received, received
    return "an empty reply"


# ---- changing and stopping ----

def reloaded(make_host, old, new):
    host = make_host(name="reloaded", embed=False)
    host.config_path.write_text(host.config_path.read_text().replace(old, new))
    answer = host.post("/v1/admin/reload", {})
    return host.log() + answer.body.decode()


@symptom("nothing was changed")
def reload_refused(make_host, tmp_path):
    return reloaded(make_host, "[pipeline default]", "[pipeline default]\nnonsense = 1")


@symptom("stays as it was until the host is restarted")
def restart_key(make_host, tmp_path):
    return reloaded(make_host, "threads = 2", "threads = 1")


@symptom("still under way when the drain timeout was over")
def drained_too_short(make_host, tmp_path):
    host = make_host(name="undrained", embed=False, host="drain-timeout = 200ms")
    with host.connect() as connection:
        connection.sendall(b"POST /v1/documents HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.3)
        host.stop()
    return host.log()


@pytest.mark.parametrize("text", on_page())
def test_a_symptom(make_host, tmp_path, text):
    assert text in SYMPTOMS[text](make_host, tmp_path)


def test_the_page_has_them_all():
    assert sorted(on_page()) == sorted(SYMPTOMS)
