"""Reload: what changes, what stays as it is, what is refused, and that nobody notices."""

import http.client
import itertools
import json
import os
import pathlib
import signal
import socket
import threading
import time

import pytest

from conftest import models_dir

DOCUMENTS = [{"id": f"d{number}", "content": f"The {name} of the lease number {number} is on page {number}."}
             for number, name in enumerate(["beginning", "end", "price", "tenant", "owner", "garden", "roof", "cellar"])]


def reload(host):
    return host.request("POST", "/v1/admin/reload", timeout=120)


def rewrite(host, *pairs, append=""):
    text = host.config_path.read_text()
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    host.config_path.write_text(text + append)


def changes(answer):
    assert answer.status == 200, answer
    return {change["node"]: change["change"] for change in answer.json["changes"]}


def cached(host, path="/v1/context", **fields):
    answer = host.post(path, {"query": "lease garden", **fields})
    assert answer.status == 200, answer
    return answer.json["cache"]


@pytest.fixture
def words_host(make_host):
    """A host of its own, words only, with documents; its configuration is the test's to rewrite."""
    host = make_host(name="reload", embed=False)
    host.ingest(DOCUMENTS)
    return host


def test_nothing_new_changes_nothing(words_host):
    assert cached(words_host) == "miss"
    answer = reload(words_host)
    assert answer.json["status"] == "reloaded" and answer.json["configuration"] == 2
    assert answer.json["changes"] == [] and answer.json["kept"] == 3 and answer.json["diagnostics"] == []
    assert cached(words_host) == "memory"


def test_a_changed_pipeline_is_in_force_and_the_cache_keeps_what_it_has(words_host):
    assert cached(words_host) == "miss"
    rewrite(words_host, ("[pipeline default]", "[pipeline default]\ndeadline = 7s"))
    assert changes(reload(words_host)) == {"pipeline default": "rebuilt"}
    assert cached(words_host) == "memory"  # a deadline alters no answer
    rewrite(words_host, ("deadline = 7s", "deadline = 7s\nmin-relevance = 0.9"))
    assert changes(reload(words_host)) == {"pipeline default": "rebuilt"}
    assert cached(words_host) == "miss"  # this does
    rewrite(words_host, ("\nmin-relevance = 0.9", ""))
    reload(words_host)
    assert cached(words_host) == "memory"  # and what was kept is right again


def test_a_reloadable_key_reaches_the_running_instance(words_host):
    assert cached(words_host) == "miss"
    rewrite(words_host, ("plugin = memory", "plugin = memory\nttl = 2h"))
    assert changes(reload(words_host))["cache ram"] == "reconfigured"
    assert cached(words_host) == "memory"
    rewrite(words_host, ("ttl = 2h", "ttl = 50ms"))
    reload(words_host)
    assert cached(words_host, query="lease roof") == "miss"
    time.sleep(0.2)
    assert cached(words_host, query="lease roof") == "miss"


def test_a_key_that_is_not_reloadable_builds_the_node_beside_the_old_one(words_host):
    assert cached(words_host) == "miss"
    rewrite(words_host, ("plugin = memory", "plugin = memory\nmax-entries = 77"))
    assert changes(reload(words_host))["cache ram"] == "rebuilt"
    assert cached(words_host) == "miss"
    assert cached(words_host) == "memory"


def test_pipelines_come_and_go(words_host):
    rewrite(words_host, append="[pipeline second]\nretrieve = words\ncache = answers\n")
    assert changes(reload(words_host)) == {"pipeline second": "built"}
    assert cached(words_host, "/v1/p/second/context") == "miss"
    assert cached(words_host, pipeline="second") == "memory"
    rewrite(words_host, ("[pipeline second]\nretrieve = words\ncache = answers\n", ""))
    assert changes(reload(words_host)) == {"pipeline second": "removed"}
    answer = words_host.post("/v1/p/second/context", {"query": "lease"})
    assert answer.status == 404 and "default" in answer.json["detail"]


def test_what_is_wrong_is_told_and_nothing_changes(words_host):
    assert cached(words_host) == "miss"
    rewrite(words_host, ("[pipeline default]", "[pipeline default]\ndedline = 7s\nmax-chunks = many"))
    answer = reload(words_host)
    assert answer.status == 422 and answer.json["title"] == "Invalid configuration", answer
    texts = [diagnostic["text"] for diagnostic in answer.json["diagnostics"]]
    assert any("unknown key 'dedline'; did you mean 'deadline'?" in text for text in texts), texts
    assert any("max-chunks" in text for text in texts), texts
    assert all(diagnostic["line"] > 0 for diagnostic in answer.json["diagnostics"])
    assert cached(words_host) == "memory"
    rewrite(words_host, ("dedline = 7s\nmax-chunks = many", "deadline = 7s"))
    assert reload(words_host).json["configuration"] == 2


def test_a_node_that_does_not_start_leaves_all_as_it_was(words_host, tmp_path):
    (tmp_path / "file").write_text("in the way")
    rewrite(words_host, append=f"[vector-store lost]\nplugin = faiss\npath = {tmp_path}/file\n")
    answer = reload(words_host)
    assert answer.status == 422 and "expected a folder, found a file" in answer.body.decode(), answer
    assert cached(words_host) == "miss"
    words_host.ingest([{"id": "later", "content": "A later page about the lease and its garden."}])
    assert "later" in words_host.context(query="lease garden later").body.decode()


def test_a_store_is_opened_anew_in_place(words_host):
    words_host.context(query="lease")
    rewrite(words_host, ("[vector-store docs]", "[vector-store docs]\nreaders = 5"))
    assert changes(reload(words_host))["vector-store docs"] == "restarted"
    assert "d5" in words_host.context(query="lease garden", cache="bypass").body.decode()
    words_host.ingest([{"id": "after", "content": "After the restart the lease has a terrace."}])
    assert "after" in words_host.context(query="terrace").body.decode()


def test_a_store_that_cannot_be_opened_anew_stays_as_it_was(words_host):
    rewrite(words_host, ("[vector-store docs]", "[vector-store docs]\nindex = Nonsense"))
    answer = reload(words_host)
    assert answer.status == 422 and "Nonsense" in answer.body.decode(), answer
    assert "d5" in words_host.context(query="lease garden", cache="bypass").body.decode()
    words_host.ingest([{"id": "after", "content": "After the refusal the lease has a terrace."}])
    assert "after" in words_host.context(query="terrace").body.decode()


def test_a_store_keeps_its_name(words_host):
    rewrite(words_host, ("[vector-store docs]", "[vector-store papers]"), ("of = docs", "of = papers"))
    answer = reload(words_host)
    assert answer.status == 422 and "[vector-store docs] has" in answer.body.decode(), answer
    assert cached(words_host) == "miss"


def test_a_text_index_comes_and_is_filled(words_host):
    modules = "\n".join(os.listdir(words_host.folder / "plugins"))
    if "text-fts5.so" not in modules:
        pytest.skip("this build has no text-fts5")
    rewrite(words_host, ("retrieve = words", "retrieve = words; more"),
            append="[text-index more]\nplugin = fts5\nof = docs\npath = more\n")
    answer = changes(reload(words_host))
    assert answer == {"text-index more": "built", "pipeline default": "rebuilt"}
    found = words_host.context(query="garden", cache="bypass").json
    assert found["sources"]["more"] == {**found["sources"]["more"], "status": "ok", "chunks": 1}
    words_host.ingest([{"id": "new", "content": "A second garden."}])
    assert words_host.context(query="garden", cache="bypass").json["sources"]["more"]["chunks"] == 2


def test_a_plugin_that_was_put_there_is_loaded(words_host, monkeypatch):
    folder = words_host.plugins()
    module = folder / "source-files.so"
    target = os.readlink(module)
    words_host.stop()
    module.unlink()
    monkeypatch.setattr(words_host, "plugins", lambda: folder)
    words_host.start()
    rewrite(words_host, ("retrieve = words", "retrieve = words; notes"),
            append=f"[source notes]\nplugin = files\nroot = {words_host.folder}\n")
    answer = reload(words_host)
    assert answer.status == 422 and "'files'" in answer.body.decode(), answer
    module.symlink_to(target)
    assert changes(reload(words_host))["source notes"] == "built"
    log = words_host.log()
    assert reload(words_host).status == 200
    assert "warning" not in words_host.log()[len(log):]


def test_listeners_come_change_and_go(words_host, tmp_path):
    path = tmp_path / "extra.sock"
    rewrite(words_host, append=f"[http extra]\nlisten = unix:{path}\n")
    assert reload(words_host).status == 200
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        rewrite(words_host, (f"[http extra]\nlisten = unix:{path}\n", ""),
                ("[http public]", "[http public]\nmax-body = 2KiB"))
        assert reload(words_host).status == 200
    deadline = time.monotonic() + 180
    while path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert words_host.context(query="x" * 3000).status == 413
    rewrite(words_host, ("max-body = 2KiB", ""))
    assert reload(words_host).status == 200
    assert words_host.context(query="x" * 3000).status == 200


def test_an_address_that_is_taken_changes_nothing(words_host):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        rewrite(words_host, ("[pipeline default]", "[pipeline default]\ndeadline = 7s"),
                append=f"[http extra]\nlisten = 127.0.0.1:{other.getsockname()[1]}\n")
        answer = reload(words_host)
        assert answer.status == 422 and "in use" in answer.body.decode(), answer
    assert cached(words_host) == "miss"
    assert changes(reload(words_host)) == {"pipeline default": "rebuilt"}


def test_keys_that_need_a_restart_are_named(words_host):
    rewrite(words_host, ("threads = 2", "threads = 3"), ("[http public]", "[http public]\nmax-head = 32KiB"))
    for _ in range(2):
        answer = reload(words_host)
        texts = [diagnostic["message"] for diagnostic in answer.json["diagnostics"]]
        assert answer.status == 200
        assert texts == ["'threads' has changed, and stays as it was until the host is restarted",
                         "'max-head' has changed, and stays as it was until the host is restarted"]


def test_sighup_reloads_and_the_service_manager_is_told(make_host, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        host = make_host(name="notify", embed=False, environment={"NOTIFY_SOCKET": str(path)})
        first = manager.recv(4096).decode()
        if "READY=1" not in first:
            pytest.skip("this build knows no service manager")
        for wrong in (False, True):
            if wrong:
                rewrite(host, ("[pipeline default]", "[pipeline default]\nnonsense = 1"))
            before = time.monotonic()
            host.process.send_signal(signal.SIGHUP)
            reloading = dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())
            assert reloading["RELOADING"] == "1"
            assert before * 1e6 <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic() * 1e6
            ready = manager.recv(4096).decode()
            assert "READY=1" in ready and ("refused" in ready) == wrong, ready
        assert "unknown key 'nonsense'" in host.log() and "nothing was changed" in host.log()
        host.stop()
        assert "STOPPING=1" in manager.recv(4096).decode()


def test_an_upload_goes_on_through_reloads(words_host):
    lines = [json.dumps({"id": f"u{number}", "content": f"Line {number} tells of apples. " * 20}) + "\n"
             for number in range(400)]
    with words_host.connect(120) as connection:
        connection.sendall(b"POST /v1/documents HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        for number, line in enumerate(lines):
            piece = line.encode()
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if number == 100:
                rewrite(words_host, ("[vector-store docs]", "[vector-store docs]\nchunk-size = 200\noverlap = 20"))
                assert reload(words_host).status == 200
            if number == 200:
                rewrite(words_host, ("[vector-store docs]", "[vector-store docs]\nreaders = 3"))
                assert changes(reload(words_host))["vector-store docs"] == "restarted"
            if number == 300:
                rewrite(words_host, ("[pipeline default]", "[pipeline default]\ndeadline = 7s"))
                assert reload(words_host).status == 200
        connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert b'"documents":400' in answer.replace(b" ", b""), answer
    assert words_host.get("/v1/documents/u399").status == 200
    assert words_host.context(query="apples line 399", cache="bypass").json["chunks"]


def query(turn):
    return f"lease {DOCUMENTS[turn % len(DOCUMENTS)]['content'][4:10]}"


class Clients:
    """Many clients that ask over connections which they keep, and note everything that is not an answer."""

    def __init__(self, host, count, pipelines):
        self.host, self.pipelines = host, pipelines
        self.over = threading.Event()
        self.answers, self.failures = [0] * count, []
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(120)

    def _ask(self, connection, number, turn):
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=300)
        body = json.dumps({"query": query(turn), "timeout_ms": 50000})
        connection.request("POST", f"/v1/p/{self.pipelines[number % len(self.pipelines)]}/context", body,
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200 or content["degraded"]:
            self.failures.append((answer.status, content))
        self.answers[number] += 1
        if answer.getheader("Connection") == "close":
            connection.close()
            return None
        return connection

    def _run(self, number):
        connection, turn = None, number
        while not self.over.is_set() and not self.failures:
            try:
                connection = self._ask(connection, number, turn)
            except Exception as failure:  # noqa: BLE001: whatever it is, the test is to show it
                self.failures.append(repr(failure))
            turn += 1
        if connection is not None:
            connection.close()


def resources(host):
    """Threads, and descriptors other than the store's, which opens connections to its database as they are needed."""
    folder = pathlib.Path(f"/proc/{host.process.pid}")
    links = []
    for descriptor in (folder / "fd").iterdir():
        try:
            links.append(os.readlink(descriptor))
        except FileNotFoundError:
            pass
    return {"threads": len(list((folder / "task").iterdir())),
            "descriptors": sum(not link.startswith(str(host.state)) for link in links)}


def churn(host, rounds):
    """Reloads with another configuration each time: keys, pipelines, caches, indexes, the store itself."""
    base = host.config_path.read_text()
    for number in range(rounds):
        text = base.replace("[pipeline default]", f"[pipeline default]\ndeadline = {20 + number % 5}s")
        if number % 2:
            text += f"[pipeline extra{number % 7}]\nretrieve = words\ncache = other\n[cache other]\nplugin = memory\n"
        if number % 5 == 4:
            text = text.replace("[vector-store docs]", f"[vector-store docs]\nreaders = {3 + number % 3}")
        if number % 10 == 9:
            text = text.replace("[pipeline default]", "[pipeline default]\nnonsense = 1")
        host.config_path.write_text(text)
        answer = reload(host)
        assert answer.status == (422 if number % 10 == 9 else 200), answer
    host.config_path.write_text(base)
    assert reload(host).status == 200


def check_reloads_under_load(make_host, rounds):
    host = make_host(name="churn", embed=False, extra="[pipeline steady]\nretrieve = words\ncache = answers")
    host.ingest(DOCUMENTS)
    churn(host, 10)  # everything that is made once and kept is there
    for turn, name in itertools.product(range(len(DOCUMENTS)), ["default", "steady"]):
        cached(host, f"/v1/p/{name}/context", query=query(turn))
    computed = host.metric("ragify_cache_misses_total", tier="answers")
    before = resources(host)
    with Clients(host, 64, ["default", "steady"]) as clients:
        churn(host, rounds)
    assert not clients.failures, clients.failures[:3]
    assert min(clients.answers) > 0
    # Nothing is computed a second time, but that the store's three other values of `readers` make other answers of the
    # sixteen: of a plugin's keys nobody knows which of them do.
    computed = host.metric("ragify_cache_misses_total", tier="answers") - computed
    assert computed <= 3 * 16, f"{computed} of {sum(clients.answers)} were computed"
    deadline = time.monotonic() + 180
    while (now := resources(host)) and any(now[name] > before[name] for name in now):
        assert time.monotonic() < deadline, f"{before} at first, {now} in the end"
        time.sleep(0.1)
    host.stop()  # where LeakSanitizer has its say


def test_reloads_under_load(make_host):
    check_reloads_under_load(make_host, 60)


@pytest.mark.long
def test_five_hundred_reloads_under_load(make_host):
    check_reloads_under_load(make_host, 500)


def test_an_embedder_is_exchanged_under_a_store_that_stays(make_host):
    if models_dir() is None:
        pytest.skip("no model `fast`")
    host = make_host(name="embedder")
    host.ingest(DOCUMENTS)
    assert host.context(query="Where is the garden?").json["chunks"][0]["score_kind"] == "cosine"
    rewrite(host, ("[embedder minilm]", "[embedder minilm]\nmax-parallel = 1"))
    answer = changes(reload(host))
    assert answer["embedder minilm"] == "rebuilt" and "vector-store docs" not in answer
    assert host.context(query="Where is the garden?", cache="bypass").json["chunks"][0]["score_kind"] == "cosine"
    host.ingest([{"id": "new", "content": "Behind the house there is a garden with apple trees."}])
    assert "new" in host.context(query="apple trees behind the house").body.decode()

