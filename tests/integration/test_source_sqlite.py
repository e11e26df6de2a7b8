"""The host with a SQLite file as a source, as config/examples/database-file.conf has it."""

import sqlite3

from conftest import ROOT


def test_the_documented_file(make_host, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.md").write_text("The printer is on the second floor.\n")
    database = sqlite3.connect(tmp_path / "tickets.db")
    database.execute("CREATE VIRTUAL TABLE tickets_search USING fts5 (subject, body)")
    database.execute("INSERT INTO tickets_search VALUES ('Printer', 'The printer jams after ten pages.')")
    database.commit()
    example = (ROOT / "config/examples/database-file.conf").read_text()
    host = make_host(example, ["--set", "http local.listen=127.0.0.1:0",
                               "--set", f"source tickets.path={tmp_path}/tickets.db",
                               "--set", f"source notes.root={tmp_path}/notes"])
    answer = host.context(query="Why does the printer jam?", cache="bypass")
    assert answer.status == 200 and not answer.json["degraded"], answer
    found = {chunk["source"]["name"]: chunk["content"] for chunk in answer.json["chunks"]}
    assert found["tickets"] == "The printer jams after ten pages."
    assert found["notes"].startswith("The printer is on")
    database.execute("INSERT INTO tickets_search VALUES ('Scanner', 'Dust on the scanner glass.')")
    database.commit()
    answer = host.context(query="scanner dust", cache="bypass")
    assert answer.json["chunks"][0]["content"] == "Dust on the scanner glass."
    database.execute("BEGIN EXCLUSIVE")
    answer = host.context(query="scanner dust again", cache="bypass")
    assert answer.status == 200 and answer.json["sources"]["tickets"]["status"] in ("error", "timeout"), answer
    database.rollback()
