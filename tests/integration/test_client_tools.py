"""ragify-ctl, ragify-eval and ragify-bench against a running host."""

import json
import pathlib
import re
import subprocess

import pytest
from conftest import build_dir, host_executable

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3
# Port 1 of the loopback has no listener.
NOWHERE = "http://127.0.0.1:1"


def tool(name, *arguments, text=None, expect=OK):
    """Runs a tool of the build and returns what it wrote: (standard output, standard error)."""
    program = build_dir() / "tools" / name / name
    done = subprocess.run([str(program), *map(str, arguments)], input=text, capture_output=True, text=True, timeout=600)
    assert done.returncode == expect, (arguments, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout, done.stderr


def tool_json(name, *arguments, **options):
    return json.loads(tool(name, *arguments, "--json", **options)[0])


@pytest.fixture(scope="module")
def library(make_host):
    """A host without an embedder, where documents go in fast."""
    return make_host(name="tools", embed=False)


@pytest.fixture
def url(library):
    return f"http://127.0.0.1:{library.port}"


@pytest.fixture
def tree(tmp_path):
    """A folder of texts, with things in it that are none."""
    root = tmp_path / "handbook"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "start.md").write_text("# Getting started\n\nThe kettle must be descaled before the first zanzibar brew.\n")
    (root / "deep" / "er" / "notes.txt").write_text("Quokkas are friendly towards photographers.\n")
    (root / "README").write_text("Read me first: the handbook of the office.\n")
    (root / ".secret.md").write_text("the hidden one\n")
    (root / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "outside.md").write_text("outside of the root\n")
    (root / "link.md").symlink_to(tmp_path / "outside.md")
    return root


class TestIngest:
    def test_a_folder_goes_in_and_is_found(self, url, tree):
        report = tool_json("ragify-ctl", "--url", url, "ingest", tree)
        assert (report["documents"], report["failed"]) == (3, [])
        assert report["skipped"]["hidden"] == 1
        assert report["skipped"]["symbolic links"] == 1
        assert report["skipped"]["not UTF-8 text"] == 1
        answer = tool_json("ragify-ctl", "--url", url, "query", "zanzibar", "brew", "--mode", "lexical")
        chunk = answer["chunks"][0]
        assert chunk["document_id"] == f"file:{tree}/start.md"
        assert chunk["title"] == "Getting started"
        assert chunk["metadata"]["path"] == "start.md"
        assert chunk["source"]["uri"] == (tree / "start.md").as_uri()

    def test_the_same_again_changes_nothing(self, url, tree):
        tool("ragify-ctl", "--url", url, "ingest", tree)
        report = tool_json("ragify-ctl", "--url", url, "ingest", tree)
        assert (report["documents"], report["unchanged"], report["chunks"]) == (0, 3, 0)
        (tree / "README").write_text("Read me first, again.\n")
        report = tool_json("ragify-ctl", "--url", url, "ingest", tree)
        assert (report["documents"], report["unchanged"], report["replaced"]) == (1, 2, 1)

    def test_json_lines_from_a_pipe(self, url):
        lines = [{"_id": "pipe-1", "title": "Wombats", "text": "dig burrows"}, {"id": "pipe-2", "content": "numbats eat termites"}]
        report = tool_json("ragify-ctl", "--url", url, "ingest", "-", text="\n".join(map(json.dumps, lines)))
        assert report["documents"] == 2
        answer = tool_json("ragify-ctl", "--url", url, "query", "numbats", "--mode", "lexical")
        assert answer["chunks"][0]["document_id"] == "pipe-2"

    def test_a_bad_line_is_named_and_the_others_go_in(self, url, tmp_path):
        path = tmp_path / "mixed.ndjson"
        path.write_text('{"id": "mixed-1", "content": "a"}\nnonsense\n{"id": "mixed-2", "content": " "}\n{"id": "mixed-3", "content": "c"}\n')
        report = tool_json("ragify-ctl", "--url", url, "ingest", path, expect=FAILED)
        assert report["documents"] == 2
        reasons = {failure["id"]: failure["reason"] for failure in report["failed"]}
        assert ":2: " in reasons[str(path)]
        assert "mixed-2" in reasons

    def test_many_documents_in_many_batches(self, url):
        text = "".join(json.dumps({"id": f"many-{i}", "content": f"entry number{i} " + "word " * 100}) + "\n" for i in range(3000))
        report = tool_json("ragify-ctl", "--url", url, "ingest", "-", text=text)
        assert report["documents"] + report["unchanged"] == 3000
        answer = tool_json("ragify-ctl", "--url", url, "query", "number2999", "--mode", "lexical")
        assert answer["chunks"][0]["document_id"] == "many-2999"

    def test_an_unknown_store_ends_the_work(self, url, tree):
        _, words = tool("ragify-ctl", "--url", url, "ingest", tree, "--store", "nowhere", expect=FAILED)
        assert "nowhere" in words

    def test_what_cannot_be_read_is_usage(self, url, tmp_path):
        _, words = tool("ragify-ctl", "--url", url, "ingest", tmp_path / "gone", expect=USAGE)
        assert "No such file or directory" in words


class TestDocuments:
    def test_list_get_delete(self, url):
        for number in range(3):
            tool("ragify-ctl", "--url", url, "ingest", "-", text=json.dumps({"id": f"doc /{number}?", "content": f"the text {number}"}))
        listed = tool_json("ragify-ctl", "--url", url, "documents", "list", "--limit", 0)
        assert {"doc /0?", "doc /1?", "doc /2?"} <= {document["id"] for document in listed["documents"]}
        assert listed["next_cursor"] is None
        assert tool_json("ragify-ctl", "--url", url, "documents", "get", "doc /1?")["id"] == "doc /1?"
        assert tool_json("ragify-ctl", "--url", url, "documents", "delete", "doc /1?") == {"doc /1?": 1}
        _, words = tool("ragify-ctl", "--url", url, "documents", "get", "doc /1?", expect=FAILED)
        assert "404" in words

    def test_the_list_goes_on_where_it_ended(self, url):
        text = "".join(json.dumps({"id": f"page-{i}", "content": "x"}) + "\n" for i in range(5))
        tool("ragify-ctl", "--url", url, "ingest", "-", text=text)
        first = tool_json("ragify-ctl", "--url", url, "documents", "list", "--limit", 3)
        assert len(first["documents"]) == 3
        rest = tool_json("ragify-ctl", "--url", url, "documents", "list", "--limit", 0, "--cursor", first["next_cursor"])
        ids = [document["id"] for document in first["documents"] + rest["documents"]]
        assert len(ids) == len(set(ids))
        assert {f"page-{i}" for i in range(5)} <= set(ids)


class TestQuery:
    def test_words_for_a_reader(self, url, tree):
        tool("ragify-ctl", "--url", url, "ingest", tree)
        words, _ = tool("ragify-ctl", "--url", url, "query", "quokkas", "--mode", "lexical", "--explain")
        assert re.match(r"1\. [01]\.\d{3} \w+  file:.*notes\.txt", words)
        assert "in the host" in words

    def test_a_prompt_for_a_model(self, url, tree):
        tool("ragify-ctl", "--url", url, "ingest", tree)
        words, _ = tool("ragify-ctl", "--url", url, "query", "quokkas", "--mode", "lexical", "--format", "prompt")
        assert words.startswith("[1]")
        assert "photographers" in words

    def test_the_server_judges_the_values(self, url):
        for option, value, field in (("--max-chunks", "0", "max_chunks"), ("--min-relevance", "2", "min_relevance"),
                                     ("--mode", "telepathic", "mode"), ("--cache", "maybe", "cache")):
            _, words = tool("ragify-ctl", "--url", url, "query", "x", option, value, expect=FAILED)
            assert field in words

    def test_wrong_usage(self, url):
        for arguments in (("query",), ("query", "--filter", "[1]", "x"), ("query", "--nonsense", "x"), ("nonsense",), (),
                          ("documents", "get"), ("ingest",), ("status", "now")):
            _, words = tool("ragify-ctl", "--url", url, *arguments, expect=USAGE)
            assert words.startswith("ragify-ctl: ")

    def test_no_server(self):
        _, words = tool("ragify-ctl", "--url", NOWHERE, "query", "x", expect=UNREACHABLE)
        assert words == f"ragify-ctl: cannot reach {NOWHERE}: Connection refused. Is ragify-host running?\n"


class TestStatus:
    def test_words_and_json(self, url, library):
        words, _ = tool("ragify-ctl", "--url", url, "status")
        assert "ready: yes" in words
        assert f"process {library.process.pid}" in words
        status = tool_json("ragify-ctl", "--url", url, "status")
        assert status["alive"] and status["ready"]
        assert status["stats"]["pid"] == library.process.pid

    def test_no_server(self):
        tool("ragify-ctl", "--url", NOWHERE, "status", expect=UNREACHABLE)


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Ten documents with a word of their own each; the last query's document is ranked nowhere."""
    folder = tmp_path_factory.mktemp("beir")
    words = ["aardvark", "bonobo", "caracal", "dugong", "echidna", "fennec", "gharial", "hoatzin", "ibex", "jerboa"]
    documents = [{"_id": f"d{i}", "title": f"About the {word}", "text": f"The {word} lives here."} for i, word in enumerate(words)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    queries = [{"_id": f"q{i}", "text": word} for i, word in enumerate(words)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(3)) + "q3\td9\t1\n"
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


class TestEval:
    def test_measures_by_words(self, make_host, collection):
        host = make_host(name="eval", embed=False)
        result = tool_json("ragify-eval", collection, "--url", f"http://127.0.0.1:{host.port}", "--modes", "lexical")
        lexical = result["modes"]["lexical"]
        assert (result["documents"], lexical["queries"], lexical["failed"], lexical["foreign"]) == (10, 4, 0, 0)
        # Three queries find their document first, the fourth's is not the one that it names.
        assert lexical["ndcg_10"] == pytest.approx(0.75)
        assert lexical["mrr_10"] == pytest.approx(0.75)
        again, _ = tool("ragify-eval", collection, "--url", f"http://127.0.0.1:{host.port}", "--modes", "lexical", "--no-ingest")
        assert "0.7500" in again

    def test_a_host_of_its_own(self, library, collection, tmp_path):
        config = tmp_path / "eval.conf"
        config.write_text(library.config_path.read_text())
        result = tool_json("ragify-eval", collection, "--modes", "lexical", "--chunking", "default", "--host-binary", host_executable(),
                           "--config", config, f"--host-option=--plugin-dir={library.plugins()}")
        assert result["modes"]["lexical"]["ndcg_10"] == pytest.approx(0.75)

    def test_wrong_usage(self, tmp_path):
        tool("ragify-eval", expect=USAGE)
        tool("ragify-eval", tmp_path, expect=USAGE)
        tool("ragify-eval", tmp_path, "--modes", "psychic", expect=USAGE)

    def test_no_server(self, collection):
        tool("ragify-eval", collection, "--url", NOWHERE, expect=UNREACHABLE)


class TestBench:
    def test_closed_loop(self, url, library, collection):
        result = tool_json("ragify-bench", "run", "--url", url, "--queries", collection / "queries.jsonl", "--mode", "lexical",
                           "--clients", 4, "--requests", 500, "--distribution", "zipf", "--pid", library.process.pid)
        assert (result["sent"], result["succeeded"], result["failed"], result["degraded"]) == (500, 500, 0, 0)
        assert result["cache"]["memory"] > result["cache"].get("miss", 0)
        assert result["server"]["cpu_seconds"] > 0
        assert result["server"]["pss"] > 1_000_000
        assert 0 < result["latency_seconds"]["p50"] <= result["latency_seconds"]["p99"] <= result["latency_seconds"]["max"]

    def test_open_loop_and_idle_connections(self, url, collection):
        result = tool_json("ragify-bench", "run", "--url", url, "--queries", collection / "queries.jsonl", "--mode", "lexical",
                           "--rate", 200, "--requests", 100, "--idle", 50)
        assert (result["loop"], result["succeeded"], result["idle_open"], result["idle_closed"]) == ("open", 100, 50, 0)

    def test_each_query_once(self, url, collection):
        result = tool_json("ragify-bench", "run", "--url", url, "--queries", collection / "queries.jsonl", "--mode", "lexical",
                           "--cache", "bypass", "--distribution", "once", "--clients", 3)
        assert result["cache"] == {"miss": 10}

    def test_any_url(self, url):
        result = tool_json("ragify-bench", "get", "--url", f"{url}/livez", "--requests", 50)
        assert result["statuses"] == {"200": 50}

    def test_refusals_are_counted_and_fail(self, url):
        result = tool_json("ragify-bench", "get", "--url", f"{url}/v1/context", "--body", "{}", "--requests", 5, expect=FAILED)
        assert (result["succeeded"], result["failed"]) == (0, 5)

    def test_wrong_usage_and_no_server(self, url, collection):
        tool("ragify-bench", expect=USAGE)
        tool("ragify-bench", "run", "--url", url, expect=USAGE)
        queries = collection / "queries.jsonl"
        tool("ragify-bench", "run", "--url", url, "--queries", queries, "--distribution", "zipf:0", expect=USAGE)
        tool("ragify-bench", "run", "--url", url, "--queries", queries, "--pid", "x", expect=USAGE)
        tool("ragify-bench", "run", "--url", "ftp://x", "--queries", queries, expect=USAGE)
        tool("ragify-bench", "run", "--url", NOWHERE, "--queries", queries, expect=UNREACHABLE)

    def test_the_table_of_targets(self, library, collection):
        port = library.port
        words, _ = tool("ragify-bench", "targets", "--url", f"http://127.0.0.1:{port}", "--corpus", collection, "--duration", 0.3,
                        "--pid", library.process.pid, expect=FAILED)
        rows = [line.split("|")[1].strip() for line in words.splitlines()[2:]]
        assert rows == ["query response time", "context retrieval", "vector search", "cache hit rate", "memory", "concurrent queries"]
        # Without an embedder there is no vector search to be measured, and the exit code says so.
        assert "not measured" in words


def test_every_tool_helps():
    for name, commands in (("ragify-ctl", ("query", "ingest", "status", "documents")), ("ragify-bench", ("run", "get", "targets")),
                           ("ragify-eval", ())):
        for arguments in ((), *((command,) for command in commands)):
            words, _ = tool(name, *arguments, "--help")
            assert "Exit codes:" in words
            assert pathlib.Path(name).name in words
