"""JSON, NDJSON and CSV files become records, each with its fields; what is wrong in them is set aside with its line."""

import json
import random

import pytest

from conftest import Host, embedded_config
from test_ingest_jobs import again, aside, documents, finds, job, settled, until

NODES = ("[extractor json]\nplugin = json\ncontent = body\nmetadata = lang; /meta/year\n"
         "[extractor csv]\nplugin = csv\ncontent = text\nmetadata = city\n")


def config(root, nodes=NODES, extra=""):
    return embedded_config(embed=False, extra=f"{nodes}[ingest notes]\nroot = {root}\nstore = docs\ninterval = 1h\n"
                                              f"watch = false\nmax-file-size = 0\n{extra}")


def chunks(host, name):
    return [chunk["content"] for chunk in host.get(f"/v1/documents/notes/{name}").json["chunks"]]


def found(host, query):
    return host.context(query=query, max_chunks=3, cache="bypass").json["chunks"][0]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    return folder


def test_records_have_fields(make_host, root):
    (root / "list.json").write_text(json.dumps([
        {"title": "Herons", "body": "The heron stands in the reeds.", "lang": "en", "meta": {"year": 2019}},
        {"body": "Der Reiher steht im Schilf. \"Still\" \\ \u00fc", "lang": "de"}, {"title": "No body"}, 7]))
    (root / "one.json").write_text('\ufeff{"title": "Alone", "body": "A single stork."}')
    (root / "lines.ndjson").write_text('{"body": "First crane."}\n\n{"body": "broken\n{"body": "Third crane."}\r\n'
                                       '{"body": "twice", "body": "twice"}\n{"body": ["a", {"b": 1}]}')
    (root / "cut.json").write_text('[{"body": "Whole egret."}, {"body": "cut off')
    (root / "table.csv").write_bytes('text;city;title\r\n"A ""quoted"" gull; it\r\nscreams";Ostend;Gulls\r\n'
                                     'Möwe;Kiel;\r\ntoo;many;columns;here\r\n"bad" quote;x;y\r\n\r\nlast tern;Riga'
                                     .encode("windows-1252"))
    (root / "tabs.tsv").write_text("text\tcity\nAn auk.\tReykjavik\n")
    (root / "empty.json").write_text("[]")
    (root / "plain.txt").write_text("An ordinary file.")
    host = make_host(config(root))
    state = settled(host)
    reasons = aside(state)
    assert chunks(host, "list.json") == ["Herons\n\nThe heron stands in the reeds.",
                                         'Der Reiher steht im Schilf. "Still" \\ ü']
    assert chunks(host, "one.json") == ["Alone\n\nA single stork."]
    assert chunks(host, "lines.ndjson") == ["First crane.", "Third crane.", '["a",{"b":1}]']
    assert chunks(host, "cut.json") == ["Whole egret."]
    assert chunks(host, "table.csv") == ['Gulls\n\nA "quoted" gull; it\nscreams', "Möwe", "last tern"]
    assert chunks(host, "tabs.tsv") == ["An auk."]
    assert reasons.keys() == {"list.json, line 1", "lines.ndjson, line 3", "lines.ndjson, line 5", "cut.json, line 1",
                              "table.csv, line 5", "table.csv, line 6", "empty.json"}
    assert "JSON" in reasons["lines.ndjson, line 3"] and "columns" in reasons["table.csv, line 5"]
    assert "middle" in reasons["cut.json, line 1"] and "no record" in reasons["empty.json"]
    heron, gull = found(host, "heron reeds")["metadata"], found(host, "gull screams")["metadata"]
    assert (heron["lang"], heron["year"], heron["line"], heron["headings"]) == ("en", 2019, 1, ["Herons"])
    assert (gull["city"], gull["line"], gull["headings"]) == ("Ostend", 2, ["Gulls"])
    assert "headings" not in found(host, "Reiher Schilf")["metadata"]
    only = host.context(query="heron Reiher", max_chunks=5, filter={"lang": "de"}).json["chunks"]
    assert [chunk["content"][:10] for chunk in only] == ["Der Reiher"]
    state = again(host)
    assert state["to_read"] == 0 and aside(state) == reasons  # what was left out of files that are not read again


def test_tables_as_spreadsheets_write_them(make_host, root):
    table = "city\ttext\ttext\t\r\nKöln\tEin Reiher \U0001f426\tsteht\tim Schilf\r\n"
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        (root / f"{encoding}.tsv").write_bytes(("\ufeff" + table).encode(encoding))
    (root / "list.json").write_bytes(json.dumps([{"body": "Die Möwe."}], ensure_ascii=False).encode("utf-16"))
    long = [{"body": f"Möwe {i} " + "x" * i} for i in range(2000)]  # pieces of the file end inside of characters
    (root / "long.json").write_bytes(b"\xff\xfe" + json.dumps(long, ensure_ascii=False).encode("utf-16-le"))
    (root / "half.tsv").write_bytes("\ufefftext\nAn odd one".encode("utf-16-le") + b"\x3d\xd8!")
    (root / "nul.csv").write_bytes(b"text,city\nhas a\0 NUL,Riga\nhas none,Kiel\n")
    nodes = NODES.replace("content = text", "content = city; text; text 3; 4")
    host = make_host(config(root, nodes))
    reasons = aside(settled(host))
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        assert chunks(host, f"{encoding}.tsv") == ["city: Köln\ntext: Ein Reiher \U0001f426\ntext 3: steht\n4: im Schilf"]
    assert chunks(host, "list.json") == ["Die Möwe."]
    whole = host.get("/v1/documents/notes/long.json?limit=10000").json["chunks"]
    assert [chunk["content"] for chunk in whole[:900]] == [f"Möwe {i} {'x' * i}".strip() for i in range(900)]
    assert "".join(chunk["content"] for chunk in whole).count("Möwe") == 2000
    assert chunks(host, "half.tsv")[0].startswith("text: An odd one\ufffd")
    assert chunks(host, "nul.csv") == ["city: Kiel\ntext: has none"] and reasons == {"nul.csv, line 2": "has a NUL in it"}


def test_where_the_list_is(make_host, root):
    nodes = "[extractor json]\nplugin = json\nrecords = /data/items\nmax-record = 1KiB\n"
    (root / "a.json").write_text(json.dumps({"items": [{"text": "not these"}], "data": {
        "x": [1, {"items": "no"}], "items": [{"text": "The bittern booms."}, {"text": "long " * 500}, {"n": 5, "s": "x"}],
        "y": "]}"}, "z": None}))
    (root / "b.json").write_text('{"data": {"items": {"text": "A single one."}}}')
    (root / "c.json").write_text('{"data": []}')
    host = make_host(config(root, nodes))
    reasons = aside(settled(host))
    assert chunks(host, "a.json") == ["The bittern booms.", "n: 5\ns: x"]
    assert chunks(host, "b.json") == ["A single one."]
    assert reasons.keys() == {"a.json, line 1", "c.json"}
    assert "max-record" in reasons["a.json, line 1"] and "/data/items" in reasons["c.json"]


def write_records(path, count, wrong=()):
    pick = random.Random(3)
    words = ["reed", "moss", "fern", "heath", "grey", "slow", "river", "bank"]
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            if i in wrong:
                file.write("{wrong\n")
            else:
                file.write(json.dumps({"body": f"Record {i}: {' '.join(pick.choices(words, k=60))}.", "lang": "en"}) + "\n")


def test_a_large_file_of_records_is_written_in_parts(make_host, root):
    """Killed in the middle and unchanged afterwards; it is more than is ever kept in memory."""
    write_records(root / "many.ndjson", 30000, wrong=(20000, 25000))
    host = make_host(config(root))
    until(lambda: job(host)["chunks"] >= 5000, 600)
    host.kill()
    host.start()
    state = settled(host, seconds=900)
    assert state["chunks"] < 30000
    assert aside(state).keys() == {"many.ndjson, line 20001", "many.ndjson, line 25001"}
    assert documents(host)["notes/many.ndjson"]["chunks"] == 29998
    until(lambda: any("Record 29999:" in text for text in finds(host, "record 29999")), 900)
    assert found(host, "record 29999")["metadata"]["line"] == 30000
    state = again(host)
    assert state["to_read"] == 0
    host.stop()
    for state_file in (host.state / "ingest").glob("*.json"):
        state_file.unlink()  # nothing is remembered: the file is read, and found to be there already
    host.start()
    state = settled(host, seconds=900)
    assert (state["chunks"], state["unchanged"]) == (0, 1)
    host.stop()
    assert "left behind" not in host.log(), "the extractor that was cancelled came to an end"


def test_wrong_keys_are_refused(tmp_path):
    host = Host(tmp_path, config(tmp_path, "[extractor json]\nplugin = json\ncontent = /a~2b\n"))
    with pytest.raises(RuntimeError, match="JSON pointer"):
        host.start()
