"""Redis streams and folders as sources, through the whole host, beside each other."""

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

SERVER = shutil.which("redis-server") or "/usr/bin/redis-server"


class Redis:
    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None

    def start(self):
        self.process = subprocess.Popen([SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir",
                                         str(self.folder)], stdout=subprocess.DEVNULL)
        wait_until(self.answers)
        return self

    def answers(self):
        try:
            return self.ask("PING") == b"+PONG\r\n"
        except OSError:
            return False

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            command = b"*%d\r\n" % len(words)
            for word in words:
                command += b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode())
            connection.sendall(command)
            return connection.recv(65536)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


def wait_until(condition, limit=180):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = Redis(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    (folder / "bread.md").write_text("Flour, water, salt and yeast make a dough.\n")
    return folder


@pytest.fixture(scope="module")
def host(make_host, redis, notes):
    return make_host(f"""
[host]
threads = 2
[http public]
listen = 127.0.0.1:0
[source events]
plugin = redis-stream
url = redis://127.0.0.1:{redis.port}/0
stream = events
deadline = 4s
retry = 0
[source notes]
plugin = files
root = {notes}
refresh = 1d
[pipeline default]
retrieve = events; notes
deadline = 60s
""", name="streams")


def ask(host, query, **fields):
    answer = host.context(query=query, cache="bypass", **fields)
    assert answer.status == 200, answer
    return answer.json


def status_of(answer, name):
    sources = answer["sources"]
    return sources[name]["status"] if isinstance(sources, dict) else \
        next(block["status"] for block in sources if block["name"] == name)


def test_what_happens_now_is_found_beside_what_lies_in_a_folder(host, redis):
    redis.ask("XADD", "events", "*", "content", "The oven is at 230 degrees", "team", "bakery", "url", "http://oven/1")
    answer = ask(host, "oven yeast")
    found = {chunk["source"]["name"]: chunk for chunk in answer["chunks"]}
    assert found["events"]["source"]["type"] == "realtime" and found["events"]["source"]["uri"] == "http://oven/1"
    assert found["events"]["metadata"] == {"team": "bakery"} and found["events"]["score_kind"] == "rank"
    assert found["notes"]["source"]["type"] == "document" and "yeast" in found["notes"]["content"]
    assert [chunk["source"]["name"] for chunk in ask(host, "oven yeast", filter={"team": "bakery"})["chunks"]] == ["events"]


def test_a_changed_file_is_found_by_a_query_soon_after(host, notes):
    (notes / "airship.md").write_text("Zeppelins float.\n")
    wait_until(lambda: ask(host, "zeppelin")["chunks"])
    os.unlink(notes / "airship.md")
    wait_until(lambda: not ask(host, "zeppelin")["chunks"])


def test_each_fails_alone_and_comes_back(host, redis, notes):
    redis.process.send_signal(signal.SIGSTOP)
    answer = ask(host, "oven yeast")
    assert status_of(answer, "events") in ("timeout", "error") and status_of(answer, "notes") == "ok"
    redis.process.send_signal(signal.SIGCONT)
    redis.stop()
    wait_until(lambda: status_of(ask(host, "oven yeast"), "events") in ("error", "open-circuit"))
    away = notes.with_name("away")
    notes.rename(away)
    wait_until(lambda: host.context(query="oven yeast", cache="bypass").status == 503)
    away.rename(notes)
    wait_until(lambda: status_of(ask(host, "oven yeast"), "notes") == "ok")
    redis.start()
    redis.ask("XADD", "events", "*", "content", "The oven is cold")
    wait_until(lambda: status_of(ask(host, "oven yeast"), "events") == "ok", 60)
