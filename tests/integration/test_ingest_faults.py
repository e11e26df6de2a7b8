"""What a job writes to is full, dies or hangs in the middle: after it returns the job goes on by itself, and nothing is lost or
doubled."""

import random
import resource
import signal
import sqlite3
import time

import pytest

import test_store_chroma
import test_store_pgvector
from chroma_server import ChromaServer, chroma_program
from conftest import build_dir, embedded_config
from model_server import Service
from postgres_server import PostgresServer, vector_binaries
from test_ingest_jobs import again, documents, finds, job, settled, until
from test_ingest_large import MIB, write_text

NODE = "\n[ingest notes]\nroot = {}\nstore = docs\ninterval = 1h\nwatch = false\n"
FILES = 160


def fill(root, files=FILES, words=150):
    """Files of two or three chunks, in which only their own number occurs."""
    pick = random.Random(3)
    for i in range(files):
        (root / f"f{i % 7}").mkdir(parents=True, exist_ok=True)
        text = " ".join(f"Marker{i} sentence {k} has {pick.choice(['reed', 'moss', 'fern', 'heath'])}." for k in range(words // 3))
        (root / f"f{i % 7}" / f"{i}.txt").write_text(text + "\n")


def under_way(host, least=20):
    """Until so many documents are written. Batches are small, so that there are more to come."""
    until(lambda: len(documents(host)) >= least or job(host)["passes"] > 0, 240)


def retries(host):
    """Until it says that it waits for the store; or was through already, on a machine where all of this took long."""
    until(lambda: job(host)["state"] == "retrying" or job(host)["passes"] > 0, 240)


def check_whole(host, root):
    """The store has what the folder has: each file once, with all of its text."""
    found = documents(host)
    assert set(found) == {f"notes/{path.relative_to(root)}" for path in root.rglob("*.txt")}
    for path in sorted(root.rglob("*.txt"))[::7]:
        chunks = host.get(f"/v1/documents/notes/{path.relative_to(root)}").json["chunks"]
        content, past = path.read_bytes(), 0
        for ordinal, chunk in enumerate(chunks):
            assert chunk["ordinal"] == ordinal
            assert content[chunk["begin"]:chunk["end"]].decode() == chunk["content"]
            assert content[past:chunk["begin"]].strip() == b""
            past = chunk["end"]
        assert content[past:].strip() == b""
    assert again(host)["to_read"] == 0
    return sum(document["chunks"] for document in found.values())


# ---- a disk that is full ----


def rows(host):
    """All that the embedded store has, in order."""
    database = sqlite3.connect(f"file:{host.state / 'docs' / 'store.db'}?mode=ro", uri=True)
    found = database.execute("SELECT c.uuid, d.id, c.ordinal, c.first, c.past, c.content FROM chunks c JOIN documents d"
                             " ON d.number = c.document WHERE c.staged = 0 ORDER BY d.id, c.ordinal").fetchall()
    assert database.execute("SELECT count(*) FROM chunks WHERE staged = 1").fetchone() == (0,)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    return found


def test_a_store_that_may_not_grow_in_the_middle(make_host, tmp_path):
    """By a limit on the size of files, which needs no rights; small documents, and one that is written in parts."""
    root = tmp_path / "tree"
    fill(root)
    write_text(root / "f0" / "large.txt", 12 * MIB)
    config = embedded_config(embed=False) + NODE.format(root)
    whole = make_host(config, name="whole")
    settled(whole, seconds=300)
    host = make_host(config, name="full", wrapper=["prlimit", f"--fsize={5 * MIB}:unlimited"])
    until(lambda: job(host)["state"] == "retrying", 240)
    assert "store.db" in job(host)["error"], job(host)
    refused = host.post("/v1/documents", {"documents": [{"id": "more", "content": "There is no room. " * 100000}]})
    assert refused.status in (503, 507) and "store.db" in refused.json["detail"], refused
    assert host.get("/readyz").status == 200 and host.get("/v1/documents").status == 200
    assert job(host)["passes"] == 0
    resource.prlimit(host.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    state = settled(host, seconds=300)
    assert state["set_aside"] == [] and state["error"] is None
    assert rows(host) == rows(whole)
    until(lambda: len(finds(host, "heron bridge winter")) == 3, 240)
    until(lambda: finds(host, "Marker8"), 240)
    check_whole(host, root)


# ---- PostgreSQL ----


@pytest.fixture(scope="module")
def postgres():
    if vector_binaries() is None or not (build_dir() / "plugins/store-pgvector/store-pgvector.so").exists():
        pytest.skip("no PostgreSQL with pgvector")
    with PostgresServer(bin=vector_binaries()) as running:
        yield running


def kill_postgres(server, host):
    server.kill()
    retries(host)
    server.start()


def suspend_postgres(server, host):
    server.signal(signal.SIGSTOP)
    time.sleep(3)  # the write under way hangs
    assert host.get("/livez").status == 200 and job(host)["id"] == "notes"
    server.signal(signal.SIGCONT)


@pytest.mark.parametrize("disturb", [kill_postgres, suspend_postgres])
def test_postgresql_is_gone_in_the_middle(make_host, postgres, tmp_path, disturb):
    root, table = tmp_path / "tree", f"job_{disturb.__name__}"
    fill(root, 600)
    host = make_host(test_store_pgvector.config(postgres, table, store="upsert-batch = 20") + NODE.format(root))
    for least in (20, 200):
        under_way(host, least)
        disturb(postgres, host)
    assert settled(host, seconds=300)["set_aside"] == []
    total = check_whole(host, root)
    assert postgres.value(f"SELECT count(*) || ' ' || count(DISTINCT (document, ordinal)) FROM {table}_chunks") == f"{total} {total}"
    assert postgres.value(f"SELECT documents || ' ' || chunks FROM {table}_store") == f"600 {total}"
    assert finds(host, "Marker123")[0].startswith("Marker123 ")


# ---- Chroma ----


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.stop()


def kill_chroma(server, host):
    server.kill()
    retries(host)
    server.start()


def suspend_chroma(server, host):
    server.suspend()
    retries(host)  # its deadline is 20 s
    assert host.get("/livez").status == 200
    server.resume()


@pytest.mark.skipif(chroma_program() is None or not (build_dir() / "plugins/store-chroma/store-chroma.so").exists(),
                    reason="no Chroma server")
@pytest.mark.parametrize("disturb", [kill_chroma, suspend_chroma])
def test_chroma_is_gone_in_the_middle(make_host, service, tmp_path, disturb):
    root = tmp_path / "tree"
    fill(root)
    with ChromaServer() as server:
        store = test_store_chroma.own(server, "job") + "\nupsert-batch = 20"
        host = make_host(test_store_chroma.configuration(service, store, words=True) + NODE.format(root))
        under_way(host)
        disturb(server, host)
        assert settled(host, seconds=300)["set_aside"] == []
        total = check_whole(host, root)
        until(lambda: finds(host, "Marker123"), 240)
        for number in range(FILES):
            assert finds(host, f"Marker{number}")[0].startswith(f"Marker{number} "), number
        host.ingest([{"id": "last", "content": "The next write counts the documents, where one had to be given up."}])
        stats = host.post("/v1/admin/optimize?store=docs", {}).json["stats"]
        assert (stats["documents"], stats["chunks"], stats["vectors"]) == (FILES + 1, total + 1, total + 1)
        host.stop()
