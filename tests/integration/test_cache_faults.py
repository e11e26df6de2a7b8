"""A host whose second cache level is a Redis that fails in every way: answers stay right, the circuit opens and closes,
and the log has one warning for each change."""

import itertools
import json
import struct
import time

import pytest
from fault_proxy import FaultProxy
from redis_server import Redis

WORDS = "amber birch cedar delta ember fjord grove heath islet jetty knoll lagoon meadow nook oasis prairie quarry ridge".split()
numbers = itertools.count()


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = Redis(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(redis):
    with FaultProxy(("127.0.0.1", redis.port)) as between:
        yield between


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    for number in range(40):
        (folder / f"{number}.md").write_text(f"The {WORDS[number % len(WORDS)]} number {number} lies by the water.\n")
    return folder


def config(port, notes, ram="ram; ", **keys):
    lines = ["[host]", "threads = 2", "[http public]", "listen = 127.0.0.1:0", "[cache ram]", "plugin = memory",
             "[cache shared]", "plugin = redis", f"url = redis://127.0.0.1:{port}/0", "breaker-failures = 3",
             "breaker-open = 300ms", "ttl = 1h"]
    keys.setdefault("reply_timeout", "500ms")
    lines += [f"{name.replace('_', '-')} = {value}" for name, value in keys.items()]
    lines += ["[tier answers]", f"levels = {ram}shared", "[source notes]", "plugin = files", f"root = {notes}",
              "[pipeline default]", "cache = answers", "retrieve = notes"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def host(make_host, proxy, notes):
    return make_host(config=config(proxy.port, notes), name="faults")


PATIENT = {"deadline": "20s", "reply_timeout": "20s"}  # where nothing is broken, a machine that pauses changes nothing


def fresh():
    """A question that nobody has asked."""
    return f"{WORDS[next(numbers) % len(WORDS)]} by the water {next(numbers)}"


def ask(host, query=None, **fields):
    answer = host.context(query=query or fresh(), max_chunks=5, **fields)
    assert answer.status == 200, answer
    assert answer.json["chunks"] and not answer.json["degraded"], answer
    return answer.json


def kept(host, query):
    """What Redis has of a question."""
    return host.get(f"/v1/cache?q={query.replace(' ', '+')}&max_chunks=5").json["tiers"][0]["levels"][1]


def level_of(host):
    return host.get("/v1/cache").json["tiers"][0]["levels"][1]


def well(host):
    """Until Redis is read and written again."""
    for _ in range(300):
        query = fresh()
        ask(host, query)
        level = host.get("/v1/cache").json["tiers"][0]["levels"][1]
        if level["reading"] == level["writing"] == "closed" and "error" not in level:
            if kept(host, query)["found"]:
                return
        time.sleep(0.1)
    raise AssertionError(f"Redis is not used again: {level} {host.log()[-2000:]}")


def warnings(host, since):
    return [line for line in host.log()[since:].splitlines() if "WARNING" in line or "warning" in line]


def endure(host, seconds=1.5, seen=lambda: True):
    """Asks new questions for so long, and until what is to be seen is seen; the same question again has the same chunks."""
    since, count = len(host.log()), 0
    begin = time.monotonic()
    while time.monotonic() < begin + seconds or ((count <= 5 or not seen()) and time.monotonic() < begin + 60):
        query = fresh()
        first = ask(host, query)
        again = ask(host, query)
        assert again["chunks"] == first["chunks"]
        assert again["cache"] == "memory"
        count += 1
    return since, count


def opened(host, node="shared"):
    return host.metric("ragify_breaker_opened_total", node=node)


@pytest.mark.parametrize("fault", ["refuse", "stop", "slow", "garbage", "cut"])
def test_reading_is_given_up_and_taken_up_again(host, redis, proxy, fault):
    well(host)
    before = opened(host)
    if fault == "stop":
        redis.pause()
    elif fault == "slow":
        proxy.delay(0.2)
    elif fault == "garbage":
        proxy.garbage(b"!garbage\r\n\x00\xff" * 20)
    elif fault == "cut":
        proxy.cut(3)
    else:
        proxy.refuse()
    try:
        # Garbage is one piece of each connection: what follows is well again.
        since, count = endure(host, seen=lambda: fault == "garbage" or opened(host) > before)
        assert fault == "garbage" or opened(host) > before, host.log()[since:]
        assert count > 5
        # One for the circuit each time that it opens, one for writing, one of the connection.
        said = warnings(host, since)
        assert len(said) <= 2 + 2 * (opened(host) - before) + 3, said
    finally:
        redis.resume()
        proxy.heal()
    well(host)


def test_a_full_redis_is_still_read(host, redis):
    well(host)
    query = fresh()
    while not kept(host, query)["found"]:
        ask(host, query, cache="refresh")
        time.sleep(0.05)
    redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis.command("CONFIG", "SET", "maxmemory", "1")
    try:
        errors = level_of(host)["errors"]
        since, _ = endure(host, 1, lambda: level_of(host)["writing"] != "closed")
        assert level_of(host)["errors"] > errors
        said = [line for line in warnings(host, since) if "writing to level shared" in line]
        assert 1 <= len(said) <= 3 and any("OOM" in line for line in said), warnings(host, since)
        for _ in range(600):  # a machine that pauses may have made a look-up late, or three
            if level_of(host)["reading"] == "closed" and kept(host, query)["found"]:
                break
            ask(host)
            time.sleep(0.05)
        assert kept(host, query)["found"] and level_of(host)["reading"] == "closed", (kept(host, query), level_of(host))
    finally:
        redis.command("CONFIG", "SET", "maxmemory", "0")
    well(host)
    assert "writing to level shared works again" in host.log()[since:]


def test_a_read_only_replica_is_still_read(host, redis):
    well(host)
    redis.command("REPLICAOF", "127.0.0.1", "1")
    try:
        since, _ = endure(host, 1, lambda: level_of(host)["writing"] != "closed")
        said = [line for line in warnings(host, since) if "writing to level shared" in line]
        assert 1 <= len(said) <= 3 and any("READONLY" in line for line in said), warnings(host, since)
    finally:
        redis.command("REPLICAOF", "NO", "ONE")
    well(host)


def test_a_redis_that_was_restarted_empty_is_filled_again(host, redis):
    well(host)
    redis.stop()
    redis.start()
    endure(host, 0.5)
    well(host)
    assert redis.command("DBSIZE") > 0


def test_a_value_of_another_format_is_a_miss_and_overwritten(make_host, redis, notes):
    """Without a level above, so that each question goes to Redis."""
    host = make_host(config=config(redis.port, notes, ram="", prefix="foreign:", compress_above="0", **PATIENT), name="foreign")
    query = fresh()
    first = ask(host, query)
    for _ in range(1500):
        if ask(host, query)["cache"] == "redis":
            break
        time.sleep(0.02)
    assert ask(host, query)["cache"] == "redis"
    _, keys = redis.command("SCAN", "0", "MATCH", "foreign:*", "COUNT", "1000")
    assert len(keys) == 1
    value = redis.command("GET", keys[0])
    place = value.index(b"RGFA")
    later = value[:place + 4] + struct.pack("<H", 9) + value[place + 6:]
    for foreign in (later, b"", b"x", value[:-1], value[:place + 20], b"\x00" * len(value), value + b"x"):
        redis.command("SET", keys[0], foreign)
        answer = ask(host, query)
        assert answer["cache"] == "miss" and answer["chunks"] == first["chunks"], foreign[:60]
        for _ in range(1500):
            if redis.command("GET", keys[0]) != foreign:
                break
            time.sleep(0.02)
        assert ask(host, query)["cache"] == "redis"


def test_two_hosts_share_what_one_has_computed(make_host, redis, notes):
    text = config(redis.port, notes, prefix="both:", **PATIENT)
    hosts = [make_host(config=text, name=f"replica-{number}") for number in range(2)]
    query = fresh()
    first = ask(hosts[0], query)
    assert first["cache"] == "miss"
    for _ in range(1500):
        if redis.command("SCAN", "0", "MATCH", "both:*", "COUNT", "1000")[1]:
            break
        time.sleep(0.02)
    other = ask(hosts[1], query)
    assert other["cache"] == "redis" and other["chunks"] == first["chunks"]
    assert ask(hosts[1], query)["cache"] == "memory"  # promoted
    hosts[0].request("DELETE", "/v1/cache")
    assert redis.command("SCAN", "0", "MATCH", "both:*", "COUNT", "1000")[1] == []
    # Both at once on one key: each answer is whole and right.
    for _ in range(20):
        query = fresh()
        answers = [ask(host, query) for host in hosts + hosts]
        assert all(answer["chunks"] == answers[0]["chunks"] for answer in answers)


def test_the_host_starts_without_redis(make_host, notes):
    host = make_host(config=config(1, notes), name="without-redis")
    assert ask(host, "amber by the water")["cache"] == "miss"
    assert ask(host, "amber by the water")["cache"] == "memory"
    level = host.get("/v1/cache").json["tiers"][0]["levels"][-1]
    assert json.dumps(level)
