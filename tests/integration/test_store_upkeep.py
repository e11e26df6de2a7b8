"""What an operator does with stores: reindexing after a change of embedder, backup and restore, verifying."""

import json
import os
import shutil
import subprocess
import threading
import time

import pytest

from conftest import Host, build_dir, models_dir
from model_server import Service

WORDS = ["heron", "bittern", "marsh", "reed", "pond", "willow", "otter", "beaver", "swan", "crane", "snipe", "plover"]


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.stop()


def documents(count, version=0):
    return [{"id": f"d{i}", "content": f"The {WORDS[i % 12]} number {i} lives near the {WORDS[(i // 12) % 12]}, seen {version}."}
            for i in range(count)]


def configuration(service, embedder="one", former=None, store=""):
    """`one` and `two` are embedders of different models; `fast`, where it is there, has another dimension as well."""
    lines = ["[host]", "threads = 2", "[http public]", "listen = 127.0.0.1:0"]
    for name in ("one", "two"):
        lines += [f"[embedder {name}]", "plugin = http", f"base-url = {service.url('good')}", f"model = {name}", "dimension = 64"]
    if models_dir() is not None:
        lines += ["[embedder fast]", "plugin = local", f"model = {models_dir() / 'fast'}"]
    lines += ["[cache ram]", "plugin = memory", "[vector-store docs]", "plugin = faiss", "path = docs", store,
              f"embedder = {embedder}", f"former-embedder = {former}" if former else "",
              "[pipeline default]", "retrieve = docs", "cache = ram", "deadline = 20s"]
    return "\n".join(line for line in lines if line) + "\n"


def ids(answer):
    assert answer.status == 200, answer
    return [chunk["document_id"] for chunk in answer.json["chunks"]]


def scores(answer):
    """Of the passages that do not change, best first: which of those that are equally near come first is open."""
    assert answer.status == 200, answer
    return [round(chunk["relevance_score"], 5) for chunk in answer.json["chunks"] if chunk["document_id"].startswith("d")]


def ask(host, text):
    return host.context(query=text, max_chunks=5, cache="bypass")


def state_of(host):
    answer = host.get("/v1/admin/reindex")
    assert answer.status == 200, answer
    return answer.json


def settled(host):
    """Once it has looked at what there is."""
    while (state := state_of(host))["state"] == "starting":
        time.sleep(0.01)
    return state


def wait_for_state(host, state, seconds=180):
    deadline = time.monotonic() + seconds
    while (found := state_of(host))["state"] != state:
        assert time.monotonic() < deadline, (found, host.log()[-2000:])
        time.sleep(0.05)


def ctl(host, *arguments, code=0):
    done = subprocess.run([str(build_dir() / "tools/ragify-ctl/ragify-ctl"), "--url", host.address, *arguments],
                          capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


NEW = "two" if models_dir() is None else "fast"


def test_answers_go_on_until_the_new_vectors_are_whole(make_host, service):
    host = make_host(configuration(service), name="reindex")
    host.ingest(documents(150))
    before = ids(ask(host, "heron number 12 near the bittern"))
    host.stop()
    host.config_path.write_text(configuration(service, NEW))
    with pytest.raises(RuntimeError, match="ragify-ctl reindex"):
        host.start()
    host.process = None
    host.config_path.write_text(configuration(service, NEW, former="one"))
    host.start()
    assert ids(ask(host, "heron number 12 near the bittern")) == before
    assert settled(host)["state"] == "waiting" and state_of(host)["total"] == 150
    refused, running = [], threading.Event()

    def keep_asking():
        while not running.is_set():
            answer = ask(host, "heron number 12 near the bittern")
            if answer.status != 200 or not answer.json["chunks"]:
                refused.append(answer)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    host.ingest([{"id": "late", "content": "A kingfisher came while the vectors were made anew."}])
    assert ctl(host, "reindex", "docs", "--wait").endswith("up-to-date\n")
    wait_for_state(host, "up-to-date")
    running.set()
    asking.join()
    assert not refused, refused
    assert ids(ask(host, "kingfisher vectors made anew"))[0] == "late"
    assert ids(ask(host, "heron number 12 near the bittern"))[0] == "d12"
    # Documents that were there are unchanged: nothing is embedded twice.
    report = host.ingest(documents(150))
    assert report["unchanged"] == 150 and report["documents"] == 0, report
    assert ctl(host, "reindex", code=1).count("former-embedder") == 1
    host.stop()
    host.config_path.write_text(configuration(service, NEW))
    host.start()
    assert ids(ask(host, "kingfisher vectors made anew"))[0] == "late"
    assert "no problems" in ctl(host, "verify") or "0 problems" in ctl(host, "verify")
    host.stop()
    assert "left behind" not in host.log(), "what the store began by itself came to an end"


def test_reindexing_that_was_killed_goes_on(make_host, service):
    host = make_host(configuration(service), name="killed")
    host.ingest(documents(1200))
    host.stop()
    host.config_path.write_text(configuration(service, "two", former="one"))
    done, kills = 0, 0
    while kills < 3:
        host.start()
        if kills == 0:
            assert host.post("/v1/admin/reindex", {}).status == 202
        state = settled(host)
        deadline = time.monotonic() + 180
        while state["state"] == "running" and state.get("done", 0) < done + 64:
            assert time.monotonic() < deadline, state
            time.sleep(0.01)
            state = state_of(host)
        if state["state"] == "up-to-date":
            break
        assert state["done"] >= done, "what was committed before the kill is not made again"
        done = state["done"]
        host.kill()
        kills += 1
    if host.process is None:
        host.start()
    assert kills > 0
    wait_for_state(host, "up-to-date")
    assert ids(ask(host, "otter number 6 lives near the heron"))[0] == "d6"
    assert host.ingest(documents(1200))["unchanged"] == 1200


def test_a_store_is_reindexed_by_a_reload(make_host, service):
    host = make_host(configuration(service), name="reloaded")
    host.ingest(documents(40))
    host.config_path.write_text(configuration(service, "two", former="one"))
    answer = host.post("/v1/admin/reload", {})
    assert answer.status == 200, answer
    assert settled(host)["state"] == "waiting"
    assert ids(ask(host, "swan number 8"))
    assert host.post("/v1/admin/reindex?store=docs", {}).status == 202
    wait_for_state(host, "up-to-date")
    assert ids(ask(host, "swan number 8"))[0] == "d8"
    host.ingest([{"id": "more", "content": "The last one is a dipper."}])
    assert ids(ask(host, "dipper the last one"))[0] == "more"


def test_max_memory_can_be_raised_and_lowered_while_the_host_runs(make_host, service):
    host = make_host(configuration(service, store="max-memory = 128KiB"), name="limited")
    host.ingest(documents(40))
    refused = host.post("/v1/documents", {"documents": documents(1200)})
    assert refused.status == 507 and "max-memory is reached" in refused.json["detail"], refused
    assert len(ids(ask(host, "swan number 8"))) == 5
    for limit, status in (("16MiB", 200), ("128KiB", 507), ("0", 200)):
        host.config_path.write_text(configuration(service, store=f"max-memory = {limit}"))
        answer = host.post("/v1/admin/reload", {})
        assert answer.status == 200, answer
        assert {one["node"]: one["change"] for one in answer.json["changes"]}["vector-store docs"] == "reconfigured", answer
        wanted = {"documents": documents(1200) + [{"id": f"more {limit}", "content": f"A dipper at {limit}."}]}
        answer = host.post("/v1/documents", wanted)
        assert answer.status == status, answer
        assert len(ids(ask(host, "swan number 8"))) == 5
    assert host.get("/v1/documents/more%200").status == 200


def test_reindexing_waits_for_an_embedder_that_is_away(make_host):
    service = Service()
    host = make_host(configuration(service), name="away")
    host.ingest(documents(300))
    host.stop()
    text = configuration(service, "two", former="one")
    lost = text.replace("[embedder two]\nplugin = http\nbase-url = " + service.url("good"),
                        "[embedder two]\nplugin = http\nretry = 0\nbase-url = " + service.url("broken"))
    assert lost != text
    host.config_path.write_text(lost)
    host.start()
    assert host.post("/v1/admin/reindex", {}).status == 202
    deadline = time.monotonic() + 180
    while not (state := state_of(host))["error"]:
        assert time.monotonic() < deadline, state
        time.sleep(0.05)
    assert state["done"] == 0 and "out of memory" in state["error"], state
    assert ids(ask(host, "swan number 8"))
    host.stop()
    host.config_path.write_text(text)
    host.start()
    assert host.post("/v1/admin/reindex", {}).status == 202
    wait_for_state(host, "up-to-date")
    host.stop()
    service.stop()


def test_a_backup_under_ingest_is_restored_with_the_same_answers(make_host, service):
    host = make_host(configuration(service), name="backup")
    host.ingest(documents(200))
    queries = [f"{WORDS[i % 12]} number {i}" for i in range(0, 60, 7)]
    stop, rounds = threading.Event(), []

    def churn():
        while not stop.is_set():
            rounds.append(host.ingest([{"id": f"x{i}", "content": f"Churn of round {len(rounds)}."} for i in range(20)]))

    thread = threading.Thread(target=churn)
    thread.start()
    while len(rounds) < 2:
        time.sleep(0.01)
    answer = host.post("/v1/admin/backup?store=docs&to=first", {})
    assert answer.status == 200, answer
    path = answer.json["path"]
    assert path == str(host.state / "backups/first") and answer.json["stats"]["bytes"] > 0
    assert "second" in ctl(host, "backup", "nightly/second", "--store", "docs")
    stop.set()
    thread.join()
    before = [scores(ask(host, query)) for query in queries]
    host.stop()

    restored = make_host(configuration(service), name="restored")
    restored.stop()
    shutil.rmtree(restored.state / "docs")
    shutil.copytree(path, restored.state / "docs")
    restored.start()
    assert [scores(ask(restored, query)) for query in queries] == before
    listed = [restored.get(f"/v1/documents/x{i}").json for i in range(20)]
    contents = {document["chunks"][0]["content"] for document in listed}
    assert len(contents) == 1, f"the copy is of one moment, and has {contents}"
    assert "0 problems" in ctl(restored, "verify", "--repair")
    assert restored.ingest(documents(200))["unchanged"] == 200


def test_backups_stay_in_their_folder(make_host, service):
    host = make_host(configuration(service), name="places")
    host.ingest(documents(3))
    for place in ("/tmp/elsewhere", "../up", "a/../../b", "", "a//b", "."):
        answer = host.post(f"/v1/admin/backup?to={place}", {})
        assert answer.status == 400 and answer.json["field"] == "to", (place, answer)
    assert host.post(f"/v1/admin/backup?to={host.state}/backups/whole", {}).status == 200
    again = host.post("/v1/admin/backup?to=whole", {})
    assert again.status == 422 and "already" in again.json["detail"], again
    named = host.post("/v1/admin/backup", {})
    assert named.status == 200 and os.path.basename(named.json["path"]).startswith("docs-"), named
    together = []
    threads = [threading.Thread(target=lambda: together.append(host.post("/v1/admin/backup?to=together", {})))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in together)[0] == 200, together  # one, and none at the cost of another
    assert all(answer.status in (422, 503) and "already" in answer.json["detail"]
               for answer in together if answer.status != 200) and len(together) == 4, together
    assert not any(name.endswith(".partial") for name in os.listdir(host.state / "backups"))
    assert host.post("/v1/admin/verify?repair=maybe", {}).status == 400
    assert host.post("/v1/admin/backup?store=none", {}).status == 404
    refused = host.post("/v1/admin/reindex", {})
    assert refused.status == 409 and "former-embedder" in refused.json["detail"], refused


def test_a_damaged_store_is_found_and_mended(make_host, service):
    import sqlite3
    host = make_host(configuration(service), name="damaged")
    host.ingest(documents(30))
    with sqlite3.connect(host.state / "docs/store.db") as database:
        database.execute("UPDATE vectors SET vector = zeroblob (12) WHERE chunk = 5")
        database.execute("UPDATE documents SET chunks = 9 WHERE id = 'd7'")
    database.close()
    assert "2 problems" in ctl(host, "verify", code=1)
    answer = host.post("/v1/admin/verify?repair=true", {})
    assert answer.json["repaired"] == 2 and answer.json["problems"] == [], answer.json
    report = host.ingest(documents(30))
    assert report["unchanged"] == 29 and report["documents"] == 1, report
    assert "0 problems" in ctl(host, "verify")
    assert json.loads(ctl(host, "optimize", "docs", "--json"))["stats"]["vectors"] == 30
