"""A tier of memory, Redis and disk, with a real Redis: which level answers, and what happens when one fails."""

import threading
import time

import pytest

from conftest import embedded_config
from fault_proxy import FaultProxy
from redis_server import Redis

DOCUMENTS = [{"id": f"d{i}", "content": f"The word of number {i} is w{i}x, and it stands here alone."} for i in range(40)]


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path)
    server.start()
    yield server
    server.stop()


def config_of(url, levels="ram; shared; disk", deadline="20s", ram=""):
    """The tests' machine may be slow: a level is given time, unless the test is about too little of it."""
    config = embedded_config(embed=False, extra=f"""
[cache shared]
plugin = redis
url = {url}
deadline = {deadline}
reply-timeout = 500ms
breaker-open = 200ms
[cache disk]
plugin = disk
path = answers
deadline = 20s
""")
    return config.replace("levels = ram", f"levels = {levels}").replace("plugin = memory", f"plugin = memory\n{ram}")


def ask(host, number, **fields):
    """Asks for one document; the answer must be it, and how it came is returned."""
    answer = host.context(query=f"w{number}x", max_chunks=1, **fields)
    assert answer.status == 200, answer
    found = [chunk["document_id"] for chunk in answer.json["chunks"]]
    assert found == [f"d{number}"], answer
    assert not answer.json["degraded"], answer
    return answer.json["cache"]


def wait_for(condition, limit=180):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_each_level_answers_and_fills_those_above(make_host, redis):
    host = make_host(config_of(redis.url), name="levels")
    host.ingest(DOCUMENTS)
    assert ask(host, 1) == "miss"
    wait_for(lambda: ask(host, 1) == "memory")
    wait_for(lambda: redis.keys() == 1)
    host.stop()
    host.start()
    assert ask(host, 1) == "redis"
    wait_for(lambda: ask(host, 1) == "memory")
    host.stop()
    redis.command("FLUSHALL")
    host.start()
    assert ask(host, 1) == "disk"
    wait_for(lambda: ask(host, 1) == "memory")
    wait_for(lambda: redis.keys() == 1)
    host.stop()
    host.start()
    assert ask(host, 1) == "redis"


def test_replicas_share_answers(make_host, redis):
    first = make_host(config_of(redis.url, levels="ram; shared"), name="first")
    first.ingest(DOCUMENTS)
    assert ask(first, 2) == "miss"
    wait_for(lambda: redis.keys() == 1)
    assert redis.command("TTL", "ragify:nothing") == -2
    before = redis.hits()
    first.stop()
    first.start()
    assert ask(first, 2) == "redis"
    assert redis.hits() == before + 1


def test_the_host_starts_without_redis(make_host, redis):
    redis.stop()
    host = make_host(config_of(redis.url), name="alone")
    host.ingest(DOCUMENTS)
    assert ask(host, 3) == "miss"
    assert ask(host, 3) == "memory"
    redis.start()
    wait_for(lambda: ask(host, 3, cache="refresh") == "miss" and redis.keys() > 0)


class Load:
    """Clients that ask without a pause; every answer is checked."""

    def __init__(self, host, clients=6):
        self.host, self.quit = host, threading.Event()
        self.counts, self.failures = {}, []
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(clients)]

    def run(self, number):
        step = number
        while not self.quit.is_set():
            step += 7
            try:
                level = ask(self.host, step % len(DOCUMENTS))
                self.counts[level] = self.counts.get(level, 0) + 1
            except Exception as failure:  # shown by the test that asks for it
                self.failures.append(failure)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.quit.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures[0]

    def go_on(self, answers=60):
        """Until so many more answers have come, all of them right."""
        goal = sum(self.counts.values()) + answers
        wait_for(lambda: self.failures or sum(self.counts.values()) >= goal)
        assert not self.failures, self.failures[0]

    def await_level(self, level, answers=5):
        goal = self.counts.get(level, 0) + answers
        wait_for(lambda: self.failures or self.counts.get(level, 0) >= goal, 120)


@pytest.fixture
def loaded(make_host, redis):
    """A host whose memory level holds next to nothing, so that Redis is asked all the time, behind a proxy."""
    with FaultProxy(("127.0.0.1", redis.port)) as proxy:
        config = config_of(f"redis://127.0.0.1:{proxy.port}", levels="ram; shared", deadline="1s", ram="max-entries = 1")
        host = make_host(config, name="loaded")
        host.ingest(DOCUMENTS)
        with Load(host) as load:
            load.await_level("redis")
            yield host, redis, proxy, load
        # Said once when it opens and once when it closes, however many requests and trials there were meanwhile.
        lines = [line for line in host.log().splitlines() if "shared" in line]
        warnings = [line for line in lines if "warning: " in line]
        opened = [line for line in warnings if "shared: circuit open" in line]
        given_up = [line for line in warnings if "is given up" in line]
        assert len(warnings) == len(opened) + len(given_up), warnings
        assert len(opened) <= 1 + sum("circuit closed" in line for line in lines), lines
        assert len(given_up) <= 1 + sum("works again" in line for line in lines), lines
        host.stop()


@pytest.mark.parametrize("fault", ["killed", "stopped", "restarted empty"])
def test_redis_fails_under_load(loaded, fault):
    host, redis, _, load = loaded
    if fault == "stopped":
        redis.pause()
        load.go_on()
        redis.resume()
    else:
        redis.stop()
        if fault == "killed":
            load.go_on()
        redis.start()
    load.await_level("redis")


@pytest.mark.parametrize("fault", [
    lambda proxy: proxy.delay(1.5),
    lambda proxy: proxy.garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    lambda proxy: proxy.before(b"$-1\r\n"),
    lambda proxy: proxy.before(b"$1\r\nx\r\n"),
    lambda proxy: proxy.cut(500),
    lambda proxy: proxy.cut(100, reset=True),
    lambda proxy: proxy.stall(),
    lambda proxy: proxy.refuse(),
], ids=["slow", "garbage", "a reply too many", "a value too many", "cut", "reset", "stalled", "refused"])
def test_the_connection_fails_under_load(loaded, fault):
    _, _, proxy, load = loaded
    fault(proxy)
    load.go_on()
    proxy.heal()
    load.await_level("redis")


@pytest.mark.parametrize("fault", [
    (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
], ids=["out of memory", "read-only replica"])
def test_redis_takes_nothing_more_under_load(loaded, fault):
    _, redis, _, load = loaded
    assert redis.command(*fault[0]) == b"OK"
    load.go_on()
    assert redis.command(*fault[1]) == b"OK"
    load.await_level("redis")
