"""Nodes in processes of their own: the whole embedded default works so, and a plugin that crashes, hangs or grows costs its
node a restart and the request a `degraded`."""

import concurrent.futures
import glob
import os
import re
import signal
import time

import pytest
from conftest import Host, build_dir, embedded_config, models_dir

CRASHING = """
[source told]
plugin = told-worker
word = red
isolation = process
deadline = {deadline}
{keys}
"""


@pytest.fixture
def isolated(tmp_path):
    """Starts a host whose plugins include the one that does as it is told."""
    hosts = []

    def make(config, **options):
        host = Host(tmp_path, config, **options)
        sample = build_dir() / "tests" / "unit" / "module" / "isolated-sample.so"
        (host.plugins() / sample.name).symlink_to(sample.absolute())
        hosts.append(host)
        return host.start()

    yield make
    for host in hosts:
        host.stop()


def children(host):
    """The processes of isolated nodes, by node."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if len(words) >= 4 and words[1] == b"--plugin-process" and words[2] == str(host.process.pid).encode():
            found[words[3].decode()] = int(path.split("/")[2])
    return found


def is_running(pid):
    """Not gone, and not a zombie that nobody has waited for."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read() != b""
    except OSError:
        return False


def wait_for(condition, patience=180):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def with_source(keys="", pipeline="", deadline="20s"):
    config = embedded_config(embed=False, extra=CRASHING.format(keys=keys, deadline=deadline), pipeline=pipeline)
    return re.sub(r"^retrieve = (.*)$", r"retrieve = \1; told", config, flags=re.M)


def test_every_plugin_of_the_embedded_default_works_in_its_own_process(isolated):
    config = re.sub(r"^(plugin = .*)$", r"\1\nisolation = process", embedded_config(), flags=re.M)
    host = isolated(config)
    report = host.ingest([{"id": f"doc-{i}", "content": f"The heron number {i} stands in the shallow water."}
                          for i in range(50)])
    assert report["documents"]["failed"] == 0 if isinstance(report.get("documents"), dict) else report
    first = host.context(query="heron in shallow water").json
    assert first["chunks"] and not first["degraded"]
    assert host.context(query="heron in shallow water").json["cache"] != "miss"
    names = {"ram", "docs"} | ({"minilm"} if models_dir() is not None else set())
    assert names <= set(children(host))
    for node in children(host):
        assert host.metric("ragify_node_process_up", node=node) == 1


def test_what_was_ingested_survives_the_death_of_the_store_s_process(isolated):
    config = re.sub(r"^(plugin = .*)$", r"\1\nisolation = process", embedded_config(), flags=re.M)
    host = isolated(config)
    host.ingest([{"id": "one", "content": "A bittern booms in the reeds."}])
    before = children(host)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(children(host)) == len(before) and
             all(host.metric("ragify_node_process_up", node=node) == 1 for node in before))
    answer = host.context(query="bittern reeds").json
    assert [chunk["document_id"] for chunk in answer["chunks"]] == ["one"], answer
    host.ingest([{"id": "two", "content": "A bittern hides in the reeds."}])
    assert len(host.context(query="the bittern of the reeds").json["chunks"]) == 2


def answers_whole(host, query):
    answer = host.context(query=query, cache="bypass").json
    return not answer.get("degraded", True) and len(answer["chunks"]) > 0


@pytest.mark.skipif(models_dir() is None, reason="no model")
def test_a_snapshot_that_loses_its_end_under_the_store_costs_its_process_and_no_answer_after(isolated, tmp_path):
    environment = {"ASAN_OPTIONS": f"handle_sigbus=0:detect_leaks=1:log_path={tmp_path}/sanitizer"}
    host = isolated(embedded_config(store="index = IVF4,SQ8\nisolation = process"), environment=environment)
    host.ingest([{"id": f"doc-{i}", "content": f"Heron number {i} waits by pool {i * 7 % 160}."} for i in range(160)])
    assert host.post("/v1/admin/optimize?store=docs", {}).status == 200
    snapshot = host.state / "docs" / "index.snapshot"
    assert snapshot.stat().st_size > 4096
    wait_for(lambda: answers_whole(host, "heron by pool 3"))
    before = children(host)["docs"]
    os.truncate(snapshot, 0)
    wait_for(lambda: host.context(query="heron by the pool", cache="bypass").status == 200
             and children(host).get("docs", before) != before)
    wait_for(lambda: answers_whole(host, "heron by pool 4"))
    assert "Bus error" in host.log() and "index.snapshot is damaged" in host.log()
    assert host.post("/v1/admin/optimize?store=docs", {}).status == 200
    wait_for(lambda: answers_whole(host, "heron by pool 5"))
    assert snapshot.stat().st_size > 4096


def test_a_crash_degrades_the_request_and_the_rest_answers(isolated):
    host = isolated(with_source())
    host.ingest([{"id": "one", "content": "A bittern booms in the reeds. crash"}])
    assert not host.context(query="bittern reeds").json["degraded"]
    answer = host.context(query="crash").json
    assert answer["degraded"]
    assert answer["sources"]["told"]["status"] != "ok"
    assert "told" in str(answer["warnings"])
    assert [chunk["document_id"] for chunk in answer["chunks"]] == ["one"]
    wait_for(lambda: host.metric("ragify_node_process_up", node="told") == 1)
    wait_for(lambda: not host.context(query="bittern in the reeds once more").json["degraded"])
    assert host.metric("ragify_node_process_restarts_total", node="told") >= 1
    assert "told: its process is gone: it was ended by signal 11 (Segmentation fault)" in host.log()


def test_64_clients_and_a_plugin_that_crashes_under_them(isolated):
    host = isolated(with_source())
    host.ingest([{"id": "one", "content": "A bittern booms in the reeds. crash"}])

    def client(number):
        answers = []
        for i in range(10):
            text = "crash" if number % 16 == 0 and i == 3 else f"bittern {number} {i}"
            answers.append(host.context(query=text))
        return answers

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        answers = [answer for part in pool.map(client, range(64)) for answer in part]
    assert {answer.status for answer in answers} == {200}
    for answer in answers:
        failed = [name for name, source in answer.json["sources"].items() if source["status"] != "ok"]
        assert failed in ([], ["told"]), answer
        assert [chunk["document_id"] for chunk in answer.json["chunks"] if chunk["document_id"] == "one"], answer
    wait_for(lambda: not host.context(query="bittern at the very end").json["degraded"])


def test_hanging_and_growing_cost_a_restart(isolated):
    host = isolated(with_source("isolation-hang = 4s\nisolation-memory = 400MiB", "deadline = 30s", "2s"))
    host.ingest([{"id": "one", "content": "A bittern booms in the reeds. hang grow"}])
    for count, (word, reason) in enumerate((("hang", "calls hung in it for 4.0 s"),
                                            ("grow", "more than isolation-memory = 400 MiB")), 1):
        assert host.context(query=word).json["degraded"]
        wait_for(lambda: host.metric("ragify_node_process_restarts_total", node="told") >= count)
        wait_for(lambda: not host.context(query=f"bittern reeds after {word}").json["degraded"])
        assert reason in host.log()


def test_children_end_with_their_host(isolated):
    host = isolated(with_source())
    pids = list(children(host).values())
    assert pids
    host.kill()
    wait_for(lambda: not any(is_running(pid) for pid in pids))


def test_a_child_knows_nothing_that_it_need_not(isolated, tmp_path):
    host = isolated(with_source(), environment={"THE_SECRET": "squeamish"})
    pid = children(host)["told"]
    with open(f"/proc/{pid}/environ", "rb") as environ:
        assert b"squeamish" not in environ.read()
    targets = [os.readlink(path) for path in glob.glob(f"/proc/{pid}/fd/*")]
    assert not [target for target in targets if str(tmp_path / "state") in target]
    assert len([target for target in targets if target.startswith("socket:")]) <= 1
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status", encoding="ascii") if ":\t" in line)
    assert status["NoNewPrivs"].strip() == "1"
    with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
        assert re.search(r"^Max core file size +0 +0 ", limits.read(), re.M)
