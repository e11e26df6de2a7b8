"""What the host started without (`required = false`) is tried again, and takes part once it starts."""

import os
import shutil
import time

import pytest
from conftest import models_dir

CONFIG = """
[host]
threads = 2
log-level = info
[http public]
listen = 127.0.0.1:0
[source there]
plugin = files
root = {there}
[source late]
plugin = files
root = {late}
[source never]
plugin = files
root = {never}
[pipeline default]
retrieve = there; late; never
{more}
"""


def sources_of(host, **fields):
    answer = host.context(**fields)
    assert answer.status == 200, answer
    return {name for name, source in answer.json["sources"].items() if source["status"] == "ok"}


def eventually(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def folders(tmp_path):
    places = {name: tmp_path / name for name in ("there", "late", "never")}
    places["there"].mkdir()
    (places["there"] / "a.md").write_text("The lighthouse stands on a rock.")
    return places


def appear(folder, text):
    """As a whole, at once."""
    made = folder.with_name(folder.name + ".new")
    made.mkdir()
    (made / "b.md").write_text(text)
    os.rename(made, folder)


def test_a_source_that_was_missing_takes_part_once_it_is_there(make_host, folders):
    host = make_host(CONFIG.format(**folders, more=""), name="revival")
    assert "late" in host.log() and "left out" in host.log()
    assert sources_of(host, query="lighthouse") == {"there"}
    warnings = host.log().count("warning: ")
    appear(folders["late"], "A lighthouse keeper is lonely.")
    eventually(lambda: sources_of(host, query="lighthouse") == {"there", "late"})
    assert "source late: it runs now" in host.log()
    assert host.log().count("warning: ") == warnings  # the one that is still missing is not warned of again
    assert len(host.context(query="lighthouse").json["chunks"]) == 2


def test_a_reload_tries_at_once_and_nothing_is_lost_meanwhile(make_host, folders):
    host = make_host(CONFIG.format(**folders, more=""), name="revival-reload")
    appear(folders["late"], "A lighthouse keeper is lonely.")
    for _ in range(8):  # before, while and after it is tried in the background
        report = host.post("/v1/admin/reload", b"")
        assert report.status == 200, report
        assert sources_of(host, query="lighthouse") == {"there", "late"}
        time.sleep(0.5)
    appear(folders["never"], "No lighthouse is without a lamp.")
    eventually(lambda: sources_of(host, query="lighthouse") == {"there", "late", "never"})
    host.stop()


def test_a_stop_does_not_wait_for_what_is_missing(make_host, folders):
    host = make_host(CONFIG.format(**folders, more=""), name="revival-stop")
    began = time.monotonic()
    host.stop()
    assert "still under way" not in host.log() and time.monotonic() - began < 100


@pytest.mark.skipif(models_dir() is None, reason="no model")
def test_an_embedder_that_comes_late_is_given_to_its_store(make_host, folders, tmp_path):
    model = tmp_path / "model"
    more = f"""
[embedder minilm]
plugin = local
model = {model}
required = false
[vector-store docs]
plugin = faiss
path = docs
embedder = minilm
[text-index words]
plugin = fts5
of = docs
[pipeline kept]
retrieve = docs; words
"""
    host = make_host(CONFIG.format(**folders, more=more), name="revival-embedder")
    report = host.ingest([{"id": "a", "content": "The lighthouse stands on a rock."}])
    assert report["documents"] == 1
    shutil.copytree(models_dir() / "fast", tmp_path / "model.new")
    os.rename(tmp_path / "model.new", model)
    eventually(lambda: "embedder minilm: it runs now" in host.log())
    host.ingest([{"id": "b", "content": "A keeper lives in the tower and tends the lamp."}])
    answer = host.context(query="who looks after the light?", pipeline="kept", mode="dense")
    assert answer.status == 200 and answer.json["chunks"][0]["document_id"] == "b", answer
