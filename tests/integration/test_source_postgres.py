"""The host with PostgreSQL databases as sources: real servers, from the request down to pg_stat_activity."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import Host, ROOT, build_dir
from postgres_server import PostgresServer, binaries, free_port

pytestmark = [
    pytest.mark.skipif(binaries() is None, reason="no PostgreSQL"),
    pytest.mark.skipif(not (build_dir() / "plugins/source-postgres/source-postgres.so").exists(), reason="not built"),
]


def connected(name="ragify"):
    return f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"


def active(name):
    return connected(name) + " AND state = 'active'"



@pytest.fixture(scope="module")
def server():
    with PostgresServer() as running:
        running.sql("""
            CREATE TABLE documents (id text PRIMARY KEY, content text, relevance_score float8, metadata jsonb);
            CREATE INDEX ON documents USING gin (to_tsvector('english', content));
            INSERT INTO documents VALUES
              ('permit', 'A work permit is issued within ten days.', 0.9, '{"lang": "en", "year": 2021}'),
              ('lease', 'The lease of the ridge ends in May.', 0.8, '{"lang": "en", "year": 2019}'),
              ('bail', 'Le bail se termine en mai; work permit.', 0.7, '{"lang": "fr"}')""")
        yield running


def config(server, source="", pipeline="", more="", threads=2, name="ragify"):
    return f"""
[host]
threads = {threads}
[http public]
listen = 127.0.0.1:0
[source handbook]
plugin = postgres
dsn = {server.dsn()} application_name={name}
{source}
{more}
[pipeline default]
retrieve = handbook{pipeline}
"""


def ids(answer):
    assert answer.status == 200, answer
    return [chunk["document_id"] for chunk in answer.json["chunks"]]


def test_the_documented_pool(make_host, server):
    """The sample of docs/sources.md is the example that ships, and it answers the request there."""
    page = (ROOT / "docs/sources.md").read_text()
    blocks = re.findall(r"```ini\n(.*?)```", page, re.S)
    example = ROOT / "config/examples/postgres-pool.conf"
    sample = next(block for block in blocks if "HANDBOOK_DSN" in block)

    def keys(text):
        text = re.sub(r"\\\n\s*", "", text)
        section = re.search(r"\[source handbook\]\n(.*?)(\n\[|\Z)", text, re.S).group(1)
        lines = [re.sub(r"\s+#.*", "", line).strip() for line in section.splitlines()]
        return {line for line in lines if line and not line.startswith("deadline")}

    assert keys(sample) == keys(example.read_text())
    request = json.loads(re.search(r"-d '(\{\"query\": \"work permits\".*?\})'", page).group(1))
    host = make_host(example.read_text(), ["--set", "http local.listen=127.0.0.1:0"],
                     environment={"HANDBOOK_DSN": server.dsn()})
    answer = host.context(request | {"query": "work permit"})
    assert ids(answer) == ["permit", "bail"]
    chunk = answer.json["chunks"][0]
    assert chunk["source"]["name"] == "handbook" and chunk["scores"]["handbook"] == 0.9
    assert chunk["metadata"] == {"lang": "en", "year": 2021}
    server.wait_for(connected(), "5")


def test_text_search_and_filters(make_host, server):
    host = make_host(config(server, "statement = fulltext", name="words"))
    assert ids(host.context(query="When does the lease end?")) == ["lease"]
    assert ids(host.context(query="permits", filter={"lang": "fr"})) == ["bail"]
    assert ids(host.context(query="permits", filter={"year": {"gte": 2020}})) == ["permit"]


def test_totals_hold_whatever_the_number_of_threads(make_host, server):
    slow = "statement = SELECT id, content FROM documents, pg_sleep(0.03) WHERE $query <> ''"
    host = make_host(config(server, f"{slow}\nmin-size = 2\nmax-size = 5", threads=4, name="totals"))
    seen, answers = [], []

    def ask(client):
        for number in range(6):
            answers.append(host.context(query=f"{client} {number}").status)

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        seen.append(int(server.value(connected("totals"))))
        time.sleep(0.02)
    for client in clients:
        client.join()
    assert answers == [200] * (24 * 6)
    assert max(seen) <= 5


def test_a_client_that_hangs_up_takes_its_query_with_it(make_host, server):
    host = make_host(config(server, "statement = SELECT pg_sleep(60)::text AS content WHERE $query <> ''\nmax-size = 2",
                            "\ndeadline = 50s", name="hanging"))
    body = b'{"query": "x"}'
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", host.port)) as client:
            client.sendall(b"POST /v1/context HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            server.wait_for(active("hanging"), "1")
        server.wait_for(active("hanging"), "0")


def test_what_cannot_be_asked_is_named_and_the_rest_is_the_answer(make_host, server, tmp_path):
    (tmp_path / "note.md").write_text("A work permit needs a photograph.\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_port = silent.getsockname()[1]
        more = f"""
[source gone]
plugin = postgres
dsn = host=127.0.0.1 port={free_port()} dbname=x user=y password=hunter2
[source silent]
plugin = postgres
dsn = host=127.0.0.1 port={silent_port} dbname=x user=y password=hunter2
connect-timeout = 200ms
deadline = 300ms
[source notes]
plugin = files
root = {tmp_path}
"""
        host = make_host(config(server, "", "; gone; silent; notes\ndeadline = 60s", more))
        for number in range(3):
            answer = host.context(query="work permit", cache="bypass")
            sources = answer.json["sources"]
            assert sources["handbook"]["status"] == "ok" and sources["notes"]["status"] == "ok"
            assert sources["gone"]["status"] in ("error", "open-circuit"), sources
            assert sources["silent"]["status"] in ("timeout", "error", "open-circuit"), sources
            assert answer.json["degraded"] and len(answer.json["chunks"]) == 3
    assert "Connection refused" in host.log()
    assert "hunter2" not in host.log()


def test_a_server_that_stops_and_one_that_restarts(make_host):
    with PostgresServer() as server:
        server.sql("CREATE TABLE documents AS SELECT 'a' AS id, 'work permit' AS content, 1 AS relevance_score, "
                   "'{}'::jsonb AS metadata")
        host = make_host(config(server, "deadline = 4s\nretry = 0\nbreaker-failures = 1000"))
        before = host.descriptors()
        assert ids(host.context(query="permit", cache="bypass")) == ["a"]
        server.signal(signal.SIGSTOP)
        answer = host.context(query="permit", cache="bypass")
        server.signal(signal.SIGCONT)
        assert answer.status == 503 and answer.json["sources"]["handbook"]["status"] == "timeout", answer
        server.kill()
        answer = host.context(query="permit", cache="bypass")
        assert answer.status == 503 and answer.json["sources"]["handbook"]["status"] == "error", answer
        server.start()
        for attempt in range(600):
            answer = host.context(query="permit", cache="bypass")
            if answer.status == 200:
                break
            time.sleep(0.1)
        assert ids(answer) == ["a"]
        server.wait_for(connected(), "5")
        assert host.descriptors() <= before + 12


def test_tls_and_a_password_file(make_host, tmp_path):
    key, certificate = tmp_path / "server.key", tmp_path / "server.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate], check=True,
                   capture_output=True)
    with PostgresServer() as server:
        for path in (key, certificate):
            copy = server.folder / "data" / path.name
            shutil.copy(path, copy)
            os.chmod(copy, 0o600)
            if os.geteuid() == 0:
                shutil.chown(copy, "nobody", "nogroup")
        server.sql("CREATE ROLE reader LOGIN PASSWORD 'sesame'; CREATE TABLE documents AS SELECT 'a' AS id, 'work permit' AS "
                   "content, 1 AS relevance_score, '{}'::jsonb AS metadata; GRANT SELECT ON documents TO reader")
        (server.folder / "data" / "pg_hba.conf").write_text(
            "hostssl all reader 127.0.0.1/32 scram-sha-256\nhost all ragify 127.0.0.1/32 trust\n")
        server.options += ["-c", "ssl=on"]
        server.kill()
        server.start()
        passfile = tmp_path / "passfile"
        passfile.write_text(f"localhost:{server.port}:*:reader:sesame\n")
        passfile.chmod(0o600)
        dsn = tmp_path / "handbook.dsn"
        dsn.touch(0o600)
        dsn.write_text(f"postgresql://reader@localhost:{server.port}/postgres?sslmode=verify-full"
                       f"&sslrootcert={certificate}&passfile={passfile}\n")
        text = config(server).replace(f"dsn = {server.dsn()} application_name=ragify", f"dsn-file = {dsn}")
        host = make_host(text)
        assert ids(host.context(query="work permit")) == ["a"]
        assert server.value("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                            "WHERE usename = 'reader'") == "t"
        dsn.write_text(f"host=localhost port={server.port} user=reader dbname=postgres sslmode=verify-full "
                       f"sslrootcert={certificate} password=wrong\n")
        with pytest.raises((RuntimeError, AssertionError)) as failure:
            Host(tmp_path, text.replace("dsn-file", "required = true\ndsn-file")).start()
        assert "password authentication failed" in str(failure.value) and "sesame" not in str(failure.value)
