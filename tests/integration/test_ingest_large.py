"""Documents of any size: in constant memory, resumed where they were, the same as if nothing had happened.

2 GB of it: tests/bench/large-text."""

import hashlib
import os
import random
import sqlite3
import threading
import time

from conftest import Host, embedded_config
from test_ingest_jobs import again, aside, documents, finds, job, settled, until

MIB = 1024 * 1024


def config(root, extra="", embed=False):
    node = f"[ingest notes]\nroot = {root}\nstore = docs\ninterval = 1h\nwatch = false\nmax-file-size = 0\n{extra}"
    return embedded_config(embed=embed, extra=node)


def write_text(path, size, seed=5, line=False):
    """So many bytes of sentences that are not alike; `line`: without a line break."""
    pick = random.Random(seed)
    words = ["heron", "reed", "stands", "slow", "river", "under", "grey", "sky", "moss", "old", "bridge", "Fluß", "winter"]
    end = " " if line else "\n"
    tails = [f" says {' '.join(pick.choices(words, k=pick.randint(4, 14)))}.{end}" for _ in range(5000)]
    with open(path, "w", encoding="utf-8") as file:
        written = number = 0
        while written < size:
            some = "".join(f"Sentence {number + i}{tail}" for i, tail in enumerate(pick.sample(tails, 1000)))
            number += 1000
            written += file.write(some)


def proportional(host):
    """PSS of the host and its children in bytes."""
    total = 0
    pids = [str(host.process.pid)]
    for task in os.listdir(f"/proc/{host.process.pid}/task"):
        with open(f"/proc/{host.process.pid}/task/{task}/children", encoding="ascii") as children:
            pids += children.read().split()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) * 1024
        except (OSError, StopIteration):
            pass
    return total


class Peak:
    """The highest PSS while it runs; says what a kill does not end."""

    def __init__(self, host):
        self.host, self.peak, self.over = host, 0, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over:
            try:
                self.peak = max(self.peak, proportional(self.host))
            except (OSError, AttributeError):
                pass  # it was killed
            time.sleep(0.1)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def digest(host, document="notes/large.txt"):
    """What the store has of the document, in order."""
    database = sqlite3.connect(f"file:{host.state / 'docs' / 'store.db'}?mode=ro", uri=True)
    summary, count = hashlib.sha256(), 0
    rows = database.execute("SELECT c.uuid, c.ordinal, c.first, c.past, c.content FROM chunks c JOIN documents d"
                            " ON d.number = c.document WHERE d.id = ? AND c.staged = 0 ORDER BY c.ordinal", [document])
    for row in rows:
        summary.update(repr(row).encode())
        count += 1
    assert database.execute("SELECT count(*) FROM chunks WHERE staged = 1").fetchone() == (0,)
    database.close()
    return summary.hexdigest(), count


def killed_and_resumed(make_host, root, rounds, seconds, step, extra=""):
    """Returns the host once it is through, and the highest PSS of all its lives."""
    host = make_host(config(root, extra))
    peak = 0
    for i in range(rounds):
        with Peak(host) as watch:
            before = job(host)["chunks"]
            until(lambda before=before: job(host)["chunks"] >= before + step or job(host)["passes"] > 0, seconds)
            host.kill()
        peak = max(peak, watch.peak)
        host.start()
    with Peak(host) as watch:
        state = settled(host, seconds=seconds)
    assert state["set_aside"] == []
    return host, max(peak, watch.peak), state


def check_large(make_host, tmp_path, size, seconds, limit, rounds):
    root = tmp_path / "large"
    root.mkdir()
    write_text(root / "large.txt", size)
    whole = make_host(config(root))
    idle = proportional(whole)
    with Peak(whole) as watch:
        began = time.monotonic()
        state = settled(whole, seconds=seconds)
        took = time.monotonic() - began
    until(lambda: len(finds(whole, "heron bridge winter")) == 3, seconds)
    caught_up = time.monotonic() - began
    total = state["chunks"]
    expected = digest(whole)
    assert expected[1] == total
    broken, peak, state = killed_and_resumed(make_host, root, rounds, seconds, total // (rounds + 1))
    assert digest(broken) == expected
    assert state["chunks"] < total, "what was staged before the last kill is not written again"
    until(lambda: len(finds(broken, "heron bridge winter")) == 3, seconds)
    print(f"\n{size / MIB:.0f} MiB, {total} chunks: {took:.1f} s to the commit, {caught_up:.1f} s to the words; PSS idle "
          f"{idle / MIB:.0f}, peak {watch.peak / MIB:.0f}, with {rounds} kills {peak / MIB:.0f} MiB")
    assert max(peak, watch.peak) <= idle + limit
    assert again(broken)["to_read"] == 0


def test_a_large_file_is_resumed_and_takes_little_memory(make_host, tmp_path):
    limit = 600 if Host.sanitized(None) else 128  # sanitizers keep what was freed
    check_large(make_host, tmp_path, 16 * MIB, 240, limit * MIB, rounds=3)


def test_places_in_large_files_are_exact(make_host, tmp_path):
    root = tmp_path / "large"
    root.mkdir()
    write_text(root / "lines.txt", 4.5 * MIB)
    write_text(root / "line.txt", 4.5 * MIB, line=True)
    text = "Der Fluß fließt über große Wälder, und die Vögel hören schöne Töne im grünen Tal. "
    (root / "latin.txt").write_bytes((text * (9 * MIB // 2 // len(text))).encode("iso-8859-1"))
    (root / "wide.txt").write_bytes(b"\xff\xfe" + (text * (9 * MIB // 4 // len(text))).encode("utf-16-le"))
    (root / "zeros.txt").write_bytes(b"\0" * (5 * MIB))
    host = make_host(config(root))
    state = settled(host, seconds=120)
    assert aside(state) == {"zeros.txt": "is no text"}
    for name, encoding in (("lines.txt", "utf-8"), ("line.txt", "utf-8"), ("latin.txt", "iso-8859-1"), ("wide.txt", "utf-16")):
        content = (root / name).read_bytes().decode(encoding).encode()
        chunks = host.get(f"/v1/documents/notes/{name}").json["chunks"]
        past = 0
        for chunk in chunks:
            assert content[chunk["begin"]:chunk["end"]].decode() == chunk["content"]
            assert content[past:chunk["begin"]].strip() == b""  # nothing between two is lost
            past = chunk["end"]
        assert content[past:].strip() == b"" or len(chunks) == 10000
    assert again(host)["to_read"] == 0
    with open(root / "lines.txt", "a", encoding="utf-8") as file:
        file.write("The kingfisher came at last.\n")
    assert again(host)["documents"] == 1
    until(lambda: any("kingfisher" in text for text in finds(host, "kingfisher")), 120)
    (root / "line.txt").unlink()
    assert again(host)["deleted"] == 1
    assert "notes/line.txt" not in documents(host)


def test_a_large_file_that_is_cut_off_is_not_taken_half(make_host, tmp_path):
    root = tmp_path / "large"
    root.mkdir()
    write_text(root / "large.txt", 24 * MIB)
    host = make_host(config(root))
    until(lambda: job(host)["chunks"] >= 1000)
    assert host.request("POST", "/v1/jobs/notes/pause").status == 202
    until(lambda: job(host)["state"] == "paused")
    time.sleep(0.5)
    assert "notes/large.txt" not in documents(host) or documents(host)["notes/large.txt"]["chunks"] == 0
    os.truncate(root / "large.txt", 6 * MIB)
    assert host.request("POST", "/v1/jobs/notes/resume").status == 202
    settled(host, seconds=60)
    content = (root / "large.txt").read_bytes()
    chunks = host.get("/v1/documents/notes/large.txt").json["chunks"]
    assert all(content[chunk["begin"]:chunk["end"]].decode() == chunk["content"] for chunk in chunks)
    assert chunks[-1]["end"] >= len(content) - 100
    (root / "small.txt").write_text("A file that stays.")
    (root / "large.txt").unlink()
    again(host)
    assert set(documents(host)) == {"notes/small.txt"}
