"""What was acknowledged stays: kill -9 at any moment, a full disk, a read-only folder."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

ROUNDS = 50
WORDS = ("anvil", "birch", "copper", "delta", "ember", "fjord", "granite", "harbour", "island", "juniper")


def text_of(number):
    """Three chunks' worth of sentences in which only this document's word occurs."""
    sentences = [f"Marker{number} sentence {i} is about {WORDS[(number + i) % len(WORDS)]} and nothing else." for i in range(50)]
    return " ".join(sentences)


class Writer(threading.Thread):
    """Uploads documents one after the other until the host is gone; remembers what was acknowledged."""

    def __init__(self, host, first):
        super().__init__()
        self.host = host
        self.next = first
        self.acknowledged = []
        self.sent = None

    def run(self):
        while True:
            number = self.next
            self.next += 1
            self.sent = number
            try:
                answer = self.host.post("/v1/documents", {"documents": [{"id": f"doc-{number}", "content": text_of(number)}]})
            except Exception:  # the host was killed: whatever this was, it was not acknowledged
                return
            if answer.status == 200:
                self.acknowledged.append(number)


def all_documents(host):
    documents, cursor = {}, None
    while True:
        page = host.get("/v1/documents?limit=500" + (f"&cursor={cursor}" if cursor else "")).json
        documents.update({document["id"]: document for document in page["documents"]})
        cursor = page.get("next_cursor")
        if not cursor:
            return documents


def assert_whole(host, number):
    answer = host.get(f"/v1/documents/doc-{number}")
    assert answer.status == 200, answer
    chunks = answer.json["chunks"]
    text = text_of(number)
    assert [chunk["ordinal"] for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert text.encode()[chunk["begin"]:chunk["end"]].decode() == chunk["content"]
    assert chunks[0]["begin"] == 0 and chunks[-1]["end"] == len(text)


def found_by_words(host, number):
    answer = host.context(query=f"Marker{number}", mode="lexical", cache="bypass", max_chunks=50)
    assert answer.status == 200, answer
    return {chunk["document_id"] for chunk in answer.json["chunks"]}


@pytest.mark.parametrize("embed", [False, True], ids=["words", "vectors"])
def test_nothing_acknowledged_is_lost_by_kill_9(make_host, embed):
    """50 kills at random moments; after each start every acknowledged document is whole and found, none is half there."""
    rounds = ROUNDS - ROUNDS // 5 if not embed else ROUNDS // 5
    host = make_host(name="killed", embed=embed)
    chance = random.Random(7)
    acknowledged, next_number = [], 0
    for turn in range(rounds):
        writer = Writer(host, next_number)
        writer.start()
        give_up = time.monotonic() + 60
        while turn % 2 == 0 and len(writer.acknowledged) < 2 and time.monotonic() < give_up:
            time.sleep(0.01)  # every other kill comes after something was acknowledged, however slow the machine
        time.sleep(chance.uniform(0.02, 0.6))
        host.kill()
        writer.join()
        acknowledged += writer.acknowledged
        next_number = writer.next
        host.start()

        documents = all_documents(host)
        missing = [number for number in acknowledged if f"doc-{number}" not in documents]
        assert not missing
        unacknowledged = set(documents) - {f"doc-{number}" for number in acknowledged}
        assert unacknowledged <= {f"doc-{writer.sent}"}  # committed, and killed before it could say so
        acknowledged += [int(name[4:]) for name in unacknowledged]
        for number in chance.sample(acknowledged, min(5, len(acknowledged))) + acknowledged[-2:]:
            assert_whole(host, number)
            assert found_by_words(host, number) == {f"doc-{number}"}
    assert len(acknowledged) >= rounds, "too few documents were written for this test to mean anything"
    for number in acknowledged:
        assert_whole(host, number)
        assert found_by_words(host, number) == {f"doc-{number}"}
    assert found_by_words(host, next_number + 1) == set()
    host.stop()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False).returncode != 0:
        pytest.skip("cannot mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_ingest_and_goes_on_reading(make_host, small_disk):
    host = make_host(name="full", embed=False, host=f"state-dir = {small_disk}", arguments=["--state-dir", str(small_disk)])
    refused = None
    accepted = []
    for number in range(400):
        answer = host.post("/v1/documents", {"documents": [{"id": f"doc-{number}", "content": text_of(number) * 40}]})
        if answer.status != 200:
            refused = answer
            break
        accepted.append(number)
    assert refused is not None, "24 MiB held 400 large documents"
    assert refused.status == 507, refused
    assert refused.headers["content-type"] == "application/problem+json"
    assert "full" in refused.json["detail"].lower() or "space" in refused.json["detail"].lower(), refused
    assert len(accepted) >= 2
    for number in accepted[:3]:
        assert f"doc-{number}" in found_by_words(host, number)
        assert host.get(f"/v1/documents/doc-{number}").status == 200
    assert host.get("/readyz").status == 200

    (small_disk / "ballast").unlink(missing_ok=True)
    answer = host.request("DELETE", f"/v1/documents/doc-{accepted[0]}")
    assert answer.status in (200, 507), answer  # SQLite may need room to make room
    subprocess.run(["mount", "-o", "remount,size=96m", str(small_disk)], check=True)
    answer = host.post("/v1/documents", {"documents": [{"id": "after", "content": "Marker999999 came when there was room."}]})
    assert answer.status == 200, answer
    assert found_by_words(host, 999999) == {"after"}
    host.stop()


def test_a_read_only_folder_refuses_ingest_and_goes_on_reading(make_host, small_disk):
    host = make_host(name="readonly", embed=False, arguments=["--state-dir", str(small_disk)])
    host.ingest([{"id": "doc-1", "content": text_of(1)}])
    host.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        host.start()
        assert found_by_words(host, 1) == {"doc-1"}
        answer = host.post("/v1/documents", {"documents": [{"id": "doc-2", "content": "no room for this"}]})
        assert answer.status in (503, 507), answer
        assert "read-only" in answer.json["detail"].lower() or "read only" in answer.json["detail"].lower(), answer
        assert found_by_words(host, 1) == {"doc-1"}
        host.stop()
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=False)


def test_sigterm_in_the_middle_of_an_upload_loses_nothing_acknowledged(make_host):
    host = make_host(name="stopped", embed=False)
    writer = Writer(host, 0)
    writer.start()
    time.sleep(0.5)
    host.process.send_signal(signal.SIGTERM)
    writer.join()
    host.stop()
    host.start()
    documents = all_documents(host)
    assert {f"doc-{number}" for number in writer.acknowledged} <= set(documents)
    host.stop()


def test_a_text_index_that_was_lost_is_built_again(make_host):
    host = make_host(name="rebuilt", embed=False)
    host.ingest([{"id": f"doc-{number}", "content": text_of(number)} for number in range(20)])
    host.stop()
    shutil.rmtree(host.state / "words") if (host.state / "words").is_dir() else (host.state / "words").unlink()
    host.start()
    for number in range(20):
        assert found_by_words(host, number) == {f"doc-{number}"}
    host.stop()
