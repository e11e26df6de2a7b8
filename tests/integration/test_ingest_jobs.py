"""[ingest] nodes: a folder or a source is kept in a store, whatever happens to either of them."""

import os
import random
import socket
import sqlite3
import subprocess
import time
import urllib.parse

import pytest

from conftest import build_dir, embedded_config, models_dir, test_data


def config(root, extra="", embed=False, **options):
    node = f"[ingest notes]\nroot = {root}\nstore = docs\ninterval = 1h\n{extra}"
    return embedded_config(embed=embed, extra=node, **options)


def job(host, name="notes"):
    return host.get(f"/v1/jobs/{name}").json


def settled(host, name="notes", passes=1, seconds=60):
    """The job once it has come to the end of so many passes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = job(host, name)
        if state["passes"] >= passes and state["state"] == "waiting":
            return state
        time.sleep(0.02)
    raise AssertionError(f"not settled: {job(host, name)} {host.log()[-2000:]}")


def again(host, name="notes"):
    """One more pass."""
    passes = job(host, name)["passes"]
    assert host.request("POST", f"/v1/jobs/{name}/run").status == 202
    return settled(host, name, passes + 1)


def documents(host):
    """What the store holds: id → document."""
    found, cursor = {}, ""
    while True:
        page = host.get(f"/v1/documents?limit=1000{cursor}").json
        found.update((document["id"], document) for document in page["documents"])
        if "next_cursor" not in page:
            return found
        cursor = "&cursor=" + urllib.parse.quote(page["next_cursor"])


def until(check, seconds=180):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finds(host, query):
    return [chunk["content"] for chunk in host.context(query=query, max_chunks=3, cache="bypass").json["chunks"]]


def aside(state):
    return {item["document"]: item["reason"] for item in state["set_aside"]}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "one.txt").write_text("The heron stands in the reeds.\n")
    (root / "deep" / "two.md").write_text("# Birds\n\n## Owls\n\nThe owl hunts at night.\n\n## Larks\n\nThe lark sings.\n")
    (root / "deep" / "er" / "three.txt").write_text("Stoats are white in winter.\n")
    return root


def test_added_changed_and_deleted_files_are_followed(make_host, tree):
    host = make_host(config(tree, "watch = false"))
    state = settled(host)
    assert (state["documents"], state["unchanged"], state["set_aside"]) == (3, 0, [])
    there = documents(host)
    assert set(there) == {"notes/one.txt", "notes/deep/two.md", "notes/deep/er/three.txt"}
    one = there["notes/one.txt"]
    assert one["uri"] == (tree / "one.txt").as_uri()
    assert one["metadata"] == {"ingest": "notes", "path": "one.txt", "size": 31}
    assert finds(host, "heron")[0].startswith("The heron")

    state = again(host)
    assert (state["documents"], state["unchanged"], state["to_read"]) == (0, 3, 0)

    (tree / "one.txt").write_text("The bittern booms.\n")
    (tree / "deep" / "er" / "three.txt").unlink()
    (tree / "new.txt").write_text("Newts are amphibians.\n")
    state = again(host)
    assert (state["documents"], state["unchanged"], state["deleted"]) == (2, 1, 1)
    assert set(documents(host)) == {"notes/one.txt", "notes/deep/two.md", "notes/new.txt"}
    assert finds(host, "bittern") and not any("heron" in text for text in finds(host, "heron bittern"))
    assert host.metric("ragify_ingest_documents_total", job="notes", result="deleted") == 1


def test_a_watched_folder_is_followed_at_once(make_host, tree):
    host = make_host(config(tree))
    settled(host)
    (tree / "deep" / "late.txt").write_text("Godwits fly far.\n")
    until(lambda: "notes/deep/late.txt" in documents(host))
    (tree / "one.txt").unlink()
    until(lambda: "notes/one.txt" not in documents(host))
    (tree / "fresh").mkdir()
    (tree / "fresh" / "a.txt").write_text("A folder that was not there.\n")
    until(lambda: "notes/fresh/a.txt" in documents(host))


def test_markdown_is_cut_by_its_headings(make_host, tree):
    host = make_host(config(tree, "include = **/*.md\nwatch = false"))
    assert settled(host)["documents"] == 1
    document = host.get("/v1/documents/notes/deep/two.md").json
    text = (tree / "deep" / "two.md").read_bytes()
    assert document["title"] == "Birds"
    for chunk in document["chunks"]:
        assert text[chunk["begin"]:chunk["end"]].decode() == chunk["content"]
    found = host.context(query="owl hunts", max_chunks=5).json["chunks"]
    owls = next(chunk for chunk in found if "owl" in chunk["content"])
    assert owls["metadata"]["headings"] == ["Birds", "Owls"]
    assert "lark" not in owls["content"]


def test_a_restart_does_not_read_what_is_unchanged(make_host, tree):
    host = make_host(config(tree, "watch = false"))
    settled(host)
    os.utime(tree / "one.txt")
    host.kill()
    host.start()
    state = settled(host)
    assert (state["documents"], state["unchanged"], state["to_read"]) == (0, 3, 1)  # the touched one is looked into
    assert again(host)["to_read"] == 0


def test_other_chunks_are_made_where_the_configuration_says_so(make_host, tree):
    (tree / "long.txt").write_text("The same sentence stands here again and again. " * 40)
    host = make_host(config(tree, "watch = false"))
    settled(host)
    before = len(host.get("/v1/documents/notes/long.txt").json["chunks"])
    host.stop()
    host.config_path.write_text(config(tree, "watch = false\nchunk-size = 200\noverlap = 0"))
    host.start()
    settled(host)
    assert len(host.get("/v1/documents/notes/long.txt").json["chunks"]) > before


def test_encodings_are_detected(make_host, tmp_path):
    root = tmp_path / "texts"
    root.mkdir()
    text = "Der Fluß fließt über große Wälder, und die Vögel hören schöne Töne im grünen Tal. " * 5
    (root / "latin.txt").write_bytes(text.encode("iso-8859-1"))
    (root / "wide.txt").write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    (root / "marked.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    host = make_host(config(root, "watch = false"))
    assert settled(host)["set_aside"] == []
    for name in ("latin.txt", "wide.txt", "marked.txt"):
        chunks = host.get(f"/v1/documents/notes/{name}").json["chunks"]
        assert chunks[0]["content"].startswith("Der Fluß fließt über große Wälder"), name


def test_what_cannot_be_taken_is_set_aside_and_the_rest_goes_on(make_host, tree):
    (tree / "empty.txt").write_text("")
    (tree / "blank.txt").write_text(" \n\t\n")
    (tree / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10)
    (tree / "large.txt").write_text("x " * 5000)
    (tree / "a\nname.txt").write_text("A name of two lines.\n")
    os.mkfifo(tree / "fifo.txt")
    os.symlink("/etc/passwd", tree / "link.txt")
    os.symlink(".", tree / "deep" / "loop")
    (tree / "rule.html").write_text("<!doctype html><p>Text")
    with open(os.fsencode(tree) + b"/b\xffd.txt", "w", encoding="ascii") as file:
        file.write("A name that is no text.\n")
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(tree)  # a socket's path is short
    server.bind("socket.txt")
    os.chdir(here)
    host = make_host(config(tree, "watch = false\nmax-file-size = 5KiB"))
    state = settled(host)
    reasons = aside(state)
    assert state["documents"] == 4
    assert reasons["empty.txt"] == "is empty"
    assert "white space" in reasons["blank.txt"]
    assert "no text" in reasons["picture.png"]
    assert "max-file-size" in reasons["large.txt"]
    assert "UTF-8" in reasons["b\ufffdd.txt"]
    assert "rule.html" in reasons
    assert set(reasons) == {"empty.txt", "blank.txt", "picture.png", "large.txt", "b\ufffdd.txt", "rule.html"}
    assert "notes/a\nname.txt" in documents(host)
    assert host.get("/v1/documents/" + urllib.parse.quote("notes/a\nname.txt")).status == 200
    state = again(host)
    assert state["to_read"] == 0 and aside(state) == reasons
    (tree / "blank.txt").write_text("Now there is text.\n")
    state = again(host)
    assert state["documents"] == 1 and "blank.txt" not in aside(state)
    (tree / "one.txt").write_bytes(b"\0" * 1000)
    state = again(host)  # what it holds now is no text, and what it held is gone
    assert state["deleted"] == 1 and "notes/one.txt" not in documents(host)
    server.close()


def test_files_that_cannot_be_looked_at_stay_as_they_were(make_host, tree):
    if os.geteuid() == 0 and not os.access("/proc/self/setgroups", os.W_OK):
        pytest.skip("permissions do not hold for root")
    host = make_host(config(tree, "watch = false"))
    settled(host)
    moved = tree.with_name("elsewhere")
    tree.rename(moved)
    host.request("POST", "/v1/jobs/notes/run")
    until(lambda: job(host)["state"] == "failed")
    assert str(tree) in job(host)["error"]
    assert len(documents(host)) == 3
    tree.mkdir()  # as the place of a file system that is not mounted
    host.request("POST", "/v1/jobs/notes/run")
    until(lambda: "is empty" in (job(host)["error"] or ""))
    assert len(documents(host)) == 3
    tree.rmdir()
    moved.rename(tree)
    assert again(host)["unchanged"] == 3


def test_uploads_and_jobs_leave_each_other_alone(make_host, tree):
    host = make_host(config(tree, "watch = false\n[ingest more]\nroot = " + str(tree / "deep") +
                            "\nstore = docs\ninterval = 1h"))
    settled(host)
    settled(host, "more")
    host.ingest([{"id": "own", "content": "An upload."}, {"id": "notes/new.txt", "content": "It took the name."}])
    (tree / "new.txt").write_text("Too late.\n")
    state = again(host)
    assert state["deleted"] == 0 and "taken" in aside(state)["new.txt"]
    assert set(documents(host)) == {"own", "notes/new.txt", "notes/one.txt", "notes/deep/two.md",
                                    "notes/deep/er/three.txt", "more/two.md", "more/er/three.txt"}
    host.request("DELETE", "/v1/documents/notes/one.txt")  # the folder still has it
    assert again(host)["documents"] == 1
    assert "notes/one.txt" in documents(host)


def test_an_upload_that_calls_itself_a_jobs_is_kept_or_refused(make_host, tree):
    host = make_host(config(tree, "watch = false"))
    settled(host)
    marked = {"content": "An upload.", "metadata": {"ingest": "notes"}}
    assert host.ingest([{"id": "x", **marked}, {"id": "other/x", **marked}])["documents"] == 2
    refused = host.post("/v1/documents", {"documents": [{"id": "notes/x", **marked}]})
    assert refused.status == 422 and "metadata.ingest" in refused.body.decode(), refused
    assert again(host)["deleted"] == 0
    assert set(documents(host)) == {"x", "other/x", "notes/one.txt", "notes/deep/two.md", "notes/deep/er/three.txt"}


def fill(root, count, words=60):
    pick = random.Random(7)
    for i in range(count):
        folder = root / f"f{i % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.txt").write_text(f"Number {i}. " + " ".join(pick.choice(["reed", "moss", "fern", "heath"])
                                                                   for _ in range(words)) + ".\n")


def test_pause_resume_and_cancel(make_host, tmp_path):
    root = tmp_path / "many"
    fill(root, 400)
    host = make_host(config(root, "watch = false"), embed=True)
    assert host.request("POST", "/v1/jobs/notes/pause").status == 202
    assert job(host)["state"] == "paused"
    before, now = None, job(host)["documents"]
    deadline = time.monotonic() + 180
    while now != before:  # the write under way ends
        assert time.monotonic() < deadline
        time.sleep(1)
        before, now = now, job(host)["documents"]
    host.stop()
    host.start()
    time.sleep(0.3)
    assert job(host)["state"] == "paused"
    listing = subprocess.run([build_dir() / "tools" / "ragify-ctl" / "ragify-ctl", "--url", host.address, "jobs"],
                             capture_output=True, text=True, check=True)
    assert "notes" in listing.stdout and "paused" in listing.stdout
    assert host.request("POST", "/v1/jobs/notes/resume").status == 202
    settled(host)
    assert len(documents(host)) == 400
    for i in range(400):
        (root / f"f{i % 10}" / f"{i}.txt").write_text(f"Changed {i}. " + "peat " * 200)
    host.request("POST", "/v1/jobs/notes/run")
    until(lambda: job(host)["state"] == "running" or job(host)["passes"] > 1)
    host.request("POST", "/v1/jobs/notes/cancel")
    until(lambda: job(host)["state"] in ("cancelled", "waiting"))
    again(host)
    assert all(finds(host, f"changed {i}") for i in (0, 399))
    assert host.request("POST", "/v1/jobs/nobody/run").status == 404
    assert host.request("GET", "/v1/jobs/notes/run").status == 405
    assert host.get("/v1/jobs?a=b").status == 400


def killed_in_the_middle(host, root, rounds):
    pick = random.Random(11)
    for _ in range(rounds):
        time.sleep(pick.uniform(0, 0.25))
        there = set(documents(host))
        host.kill()
        host.start()
        assert there <= set(documents(host))  # what was there is there
    settled(host, seconds=120)
    found = documents(host)
    assert len(found) == 400
    for i in range(0, 400, 40):
        name = f"f{i % 10}/{i}.txt"
        chunks = host.get(f"/v1/documents/notes/{name}").json["chunks"]
        assert chunks[0]["content"] == (root / name).read_text().strip()
    assert again(host)["to_read"] == 0


def test_killed_in_the_middle(make_host, tmp_path):
    root = tmp_path / "many"
    fill(root, 400)
    killed_in_the_middle(make_host(config(root, "watch = false")), root, 10)


@pytest.mark.parametrize("embed", [False, pytest.param(True, marks=pytest.mark.long)], ids=["words", "vectors"])
def test_killed_with_several_batches_under_way(make_host, tmp_path, embed):
    """What was not committed is done again, and nothing else."""
    root = tmp_path / "many"
    fill(root, 1050, words=3)
    host = make_host(config(root, "watch = false", embed=embed))
    until(lambda: host.get("/v1/documents?limit=1").json["documents"], 300)
    there = set(documents(host))
    host.kill()
    host.start()
    assert there <= set(documents(host))
    state = settled(host, seconds=300)
    assert state["set_aside"] == [] and state["documents"] + state["unchanged"] == 1050
    assert len(documents(host)) == 1050
    database = sqlite3.connect(f"file:{host.state / 'docs' / 'store.db'}?mode=ro", uri=True)
    assert database.execute("SELECT count(*), count(DISTINCT document) FROM chunks").fetchone() == (1050, 1050)
    database.close()
    assert all(finds(host, f"number {i}") for i in (0, 700, 1049))
    assert again(host)["to_read"] == 0


@pytest.mark.long
def test_killed_in_the_middle_a_hundred_times(make_host, tmp_path):
    root = tmp_path / "many"
    fill(root, 400)
    killed_in_the_middle(make_host(config(root, "watch = false")), root, 100)


def test_a_file_that_changes_all_the_time_is_taken_whole_or_not_at_all(make_host, tree):
    host = make_host(config(tree))
    settled(host)
    moving = tree / "moving.txt"
    for i in range(60):
        moving.write_text(f"Begin {i}. " + "word " * (i * 37 % 900) + f" End {i}.\n")
        time.sleep(0.01)
    until(lambda: job(host)["state"] == "waiting" and "notes/moving.txt" in documents(host))
    again(host)
    chunks = host.get("/v1/documents/notes/moving.txt").json["chunks"]
    text = moving.read_text()
    assert chunks[0]["content"].startswith("Begin 59.") and chunks[-1]["content"].endswith("End 59.")
    assert all(text[chunk["begin"]:chunk["end"]] == chunk["content"] for chunk in chunks)


def test_a_source_is_kept_in_a_store(make_host, tmp_path):
    root = tmp_path / "notes"
    root.mkdir()
    for i in range(450):
        (root / f"{i}.txt").write_text(f"Note {i} speaks of meadows.\n")
    node = f"[source disk]\nplugin = files\nroot = {root}\n[ingest rows]\nsource = disk\nstore = docs\ninterval = 1h"
    host = make_host(embedded_config(embed=False, extra=node))
    state = settled(host, "rows")
    assert (state["documents"], state["deleted"]) == (450, 0)
    (root / "7.txt").unlink()
    (root / "8.txt").write_text("Note 8 was written anew.\n")
    state = again(host, "rows")
    assert (state["documents"], state["unchanged"], state["deleted"]) == (1, 448, 1)
    assert "rows/7.txt" not in documents(host)
    assert host.get("/v1/documents/rows/8.txt").json["chunks"][0]["content"] == "Note 8 was written anew."


def test_a_database_query_is_kept_in_a_store(make_host, tmp_path):
    path = tmp_path / "articles.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE articles (id TEXT PRIMARY KEY, title TEXT, body TEXT)")
    database.executemany("INSERT INTO articles VALUES (?, ?, ?)",
                         [(f"a{i}", f"Title {i}", f"Article {i} is about curlews.") for i in range(30)])
    database.commit()
    node = (f"[source articles]\nplugin = sqlite\npath = {path}\ntable = articles\nstatement = like\nid-column = id\n"
            "title-column = title\ncontent-column = body\n[ingest copy]\nsource = articles\nstore = docs\ninterval = 1h")
    host = make_host(embedded_config(embed=False, extra=node))
    assert settled(host, "copy")["documents"] == 30
    database.execute("DELETE FROM articles WHERE id = 'a3'")
    database.execute("UPDATE articles SET body = 'It is about dunlins now.' WHERE id = 'a4'")
    database.commit()
    state = again(host, "copy")
    assert (state["documents"], state["deleted"]) == (1, 1)
    assert finds(host, "dunlins")[0] == "It is about dunlins now."


def test_rows_of_any_number_are_taken_and_those_of_one_id_are_named(make_host, tmp_path):
    path = tmp_path / "notes.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE notes (number INTEGER PRIMARY KEY, name, body)")
    rows = [(-9, "minus", "It is cold."), (0, "zero", "It freezes."), (1, "one", "It thaws."), (700, "one", "It is warm."),
            (701, None, "Nobody's."), (702, "bytes", b"\xff\xfe bytes"), (703, "number", 4.5), (704, "nothing", None)]
    database.executemany("INSERT INTO notes VALUES (?, ?, ?)", rows)
    database.executemany("INSERT INTO notes VALUES (?, ?, ?)", [(i, f"n{i}", f"Note {i}.") for i in range(100, 500)])
    database.commit()
    node = (f"[source notes]\nplugin = sqlite\npath = {path}\ntable = notes\nstatement = like\nid-column = name\n"
            "content-column = body\n[ingest copy]\nsource = notes\nstore = docs\ninterval = 1h")
    host = make_host(embedded_config(embed=False, extra=node))
    state = settled(host, "copy")
    content = {name: host.get(f"/v1/documents/copy/{name}").json["chunks"][0]["content"]
               for name in ("minus", "zero", "one", "number", "n499")}
    assert content == {"minus": "It is cold.", "zero": "It freezes.", "one": "It thaws.", "number": "4.5", "n499": "Note 499."}
    assert state["documents"] == 405 and aside(state).keys() == {"one", "", "nothing"}, aside(state)
    assert "another one" in aside(state)["one"]
    assert (again(host, "copy")["unchanged"], len(documents(host))) == (405, 405)


def test_chunks_by_tokens(make_host, tmp_path):
    """Of real documents: as many tokens as the embedder takes, at exact places; more than a guess by characters fits."""
    if models_dir() is None:
        pytest.skip("no models")
    root = tmp_path / "docs"
    root.mkdir()
    texts = sorted(test_data("documents", "docs_redis_md").rglob("*.md"), key=lambda path: path.stat().st_size)[-40:-30]
    for i, path in enumerate(texts):
        (root / f"{i}.txt").write_bytes(path.read_bytes())  # as plain text: sentences alone decide
    (root / "word.txt").write_text("Donaudampfschifffahrtsgesellschaft" * 40)
    host = make_host(config(root, "watch = false\nchunk-unit = tokens\nchunk-size = 120\noverlap = 20", embed=True))
    state = settled(host, seconds=240)
    assert state["documents"] == 11

    def tokens(text):
        answer = host.post("/v1/embeddings", {"model": "minilm", "input": text})
        assert answer.status == 200, answer
        return answer.json["usage"]["prompt_tokens"]

    counts = []
    for i in range(10):
        text = (root / f"{i}.txt").read_bytes()
        for chunk in host.get(f"/v1/documents/notes/{i}.txt").json["chunks"]:
            assert text[chunk["begin"]:chunk["end"]].decode() == chunk["content"]
            if len(counts) < 60:
                counts.append(tokens(chunk["content"]))
    assert max(counts) <= 122, "with the two that stand around each text"
    assert sorted(counts)[len(counts) // 2] > 80


def test_only_what_changed_is_embedded(make_host, tmp_path):
    """Counted in texts that the embedder was given."""
    if models_dir() is None:
        pytest.skip("no models")
    root = tmp_path / "notes"
    root.mkdir()
    pick = random.Random(9)
    words = ["heron", "reed", "stoat", "moss", "river", "grey", "winter", "heath", "slow", "stone"]
    for i in range(8):
        (root / f"{i}.txt").write_text("".join(f"Sentence {k} of {i} has {' '.join(pick.choices(words, k=12))}.\n"
                                               for k in range(40)))
    host = make_host(config(root, "watch = false", embed=True))

    def embedded():
        return host.metric("ragify_ingest_vectors_total", store="docs", result="embedded")

    first = settled(host, seconds=120)
    assert first["embedded"] == first["chunks"] == embedded() > 20 and first["reused"] == 0
    second = again(host)
    assert (second["documents"], second["embedded"], second["to_read"]) == (0, 0, 0)
    for path in root.iterdir():
        os.utime(path)
    third = again(host)
    assert (third["documents"], third["unchanged"], third["embedded"]) == (0, 8, 0)
    text = (root / "3.txt").read_text()
    before = host.get("/v1/documents/notes/3.txt").json["chunks"]
    (root / "3.txt").write_text(text + "The kingfisher came at last.\n")
    state = again(host)
    assert (state["documents"], state["embedded"], state["reused"]) == (1, 1, len(before) - 1)
    assert host.metric("ragify_ingest_vectors_total", store="docs", result="reused") == len(before) - 1
    found = host.context(query=before[1]["content"], mode="dense", max_chunks=1, cache="bypass").json["chunks"][0]
    assert found["content"] == before[1]["content"] and found["relevance_score"] > 0.98  # its vector is its own
    assert finds(host, "kingfisher")[0].endswith("The kingfisher came at last.")
    changed = (root / "3.txt").read_text().replace("Sentence 20 of 3", "Sentence XX of 3")  # as long as it was
    (root / "3.txt").write_text(changed)
    state = again(host)
    assert state["embedded"] + state["reused"] == state["chunks"]
    assert 1 <= state["embedded"] <= 2 < state["chunks"]
    report = host.ingest([{"id": "up", "content": text}])
    assert report["embedded"] == report["chunks"]
    report = host.ingest([{"id": "up", "content": text + "Once more."}])
    assert (report["embedded"], report["reused"]) == (1, report["chunks"] - 1)


def test_a_reload_begins_and_ends_jobs(make_host, tree):
    host = make_host(embedded_config(embed=False))
    assert host.get("/v1/jobs").json == {"jobs": []}
    host.config_path.write_text(config(tree, "watch = false"))
    assert host.post("/v1/admin/reload", b"").status == 200
    settled(host)
    host.config_path.write_text(config(tree, "watch = false\ninclude = *.txt"))
    assert host.post("/v1/admin/reload", b"").status == 200
    until(lambda: set(documents(host)) == {"notes/one.txt"})
    host.config_path.write_text(embedded_config(embed=False))
    assert host.post("/v1/admin/reload", b"").status == 200
    assert host.get("/v1/jobs").json == {"jobs": []}
    assert set(documents(host)) == {"notes/one.txt"}  # what was ingested stays
