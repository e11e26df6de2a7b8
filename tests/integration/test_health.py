"""/v1/health: every check is turned red by a real fault, and green again; the memory monitor's steps."""

import os
import subprocess
import time

import pytest
from fault_proxy import FaultProxy
from model_server import Service
from postgres_server import PostgresServer, binaries, vector_binaries
from redis_server import Redis
from test_resilience_guide import Upstream

from conftest import build_dir, embedded_config, models_dir

OFTEN = "health-interval = 200ms"


def has_plugin(name):
    return bool(list(build_dir().glob(f"plugins/*/{name}.so")))


def section(host, name):
    return host.get("/v1/health").json["checks"][name]


def part(host, check, name):
    return next(part for part in section(host, check)["parts"] if part["name"] == name)


def until(host, check, name, status, limit=90, words=""):
    """Waits until a part is as expected; the part."""
    deadline = time.monotonic() + limit
    while (found := part(host, check, name))["status"] != status or words not in found.get("error", ""):
        assert time.monotonic() < deadline, f"{found}\n{host.log()[-2000:]}"
        time.sleep(0.05)
    return found


def eventually(host, condition, limit=180):
    """What was seen may be otherwise for a moment, where the machine pauses and a check is late."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"{host.get('/v1/health').body}\n{host.log()[-2000:]}"
        time.sleep(0.05)


def up(host, check, name):
    return host.metric("ragify_health_up", check=check, node=name)


def overall(host):
    return host.get("/v1/health").json["status"]


def turns_red_and_green(host, check, name, fault, mend, expected="degraded", words=""):
    """The part is well; it is not while the fault lasts, and then is again. The log has one line for each change."""
    until(host, check, name, "healthy")
    since = len(host.log())
    fault()
    try:
        until(host, check, name, "unhealthy", words=words)
        if expected is not None:
            eventually(host, lambda: overall(host) == expected)
        eventually(host, lambda: up(host, check, name) == 0)
        assert host.get("/livez").status == 200 and host.get("/readyz").status == 200
    finally:
        mend()
    until(host, check, name, "healthy")
    eventually(host, lambda: up(host, check, name) == 1)

    def said():
        return [line for line in host.log()[since:].splitlines() if f"health: {check} {name} " in line]

    eventually(host, lambda: len(said()) >= 2 and "is not well" in said()[0] and "is well again" in said()[-1])


def test_the_default_is_well_in_every_part(make_host):
    host = make_host(name="health", host=OFTEN)
    host.ingest([{"id": "1", "content": "A document about health."}])
    host.context(query="health")
    host.context(query="health")
    deadline = time.monotonic() + 180
    while any(part["status"] == "pending" for check in host.get("/v1/health").json["checks"].values()
              for part in check.get("parts", [check])):
        assert time.monotonic() < deadline, host.get("/v1/health")
        time.sleep(0.05)
    eventually(host, lambda: overall(host) == "healthy")
    health = host.get("/v1/health").json
    expected = {"vector_db", "text_indexes", "cache", "memory", "disk"} | ({"embedders"} if models_dir() else set())
    assert set(health["checks"]) == expected
    for check in health["checks"].values():
        assert check["response_time"] >= 0, health
    assert health["checks"]["cache"]["hit_rate"] == 0.5
    memory = health["checks"]["memory"]
    assert 0 < memory["used"] <= memory["rss"] <= memory["vms"] and 0 < memory["percent"] < 80
    assert memory["limit"] > 0 and memory["available"] > 0 and memory["step"] == "none"
    # Nothing of the checks stays in the cache.
    level = host.get("/v1/cache").json["tiers"][0]["levels"][0]
    assert level["hits"] + level["misses"] <= 2


@pytest.mark.skipif(not has_plugin("source-http"), reason="source-http is not built")
@pytest.mark.parametrize("behaviour", ["failing", "silent"])
def test_a_source_that_fails_or_is_silent(make_host, behaviour):
    upstream, other = Upstream("a"), Upstream("b")
    text = f"""[host]
threads = 2
{OFTEN}
health-query = cats
[http public]
listen = 127.0.0.1:0
[source api]
plugin = http
base-url = {upstream.url}
deadline = 300ms
breaker-open = 200ms
retry = 0
[source other]
plugin = http
base-url = {other.url}
[pipeline default]
retrieve = api; other
[pipeline alone]
retrieve = api
"""
    host = make_host(config=text, name="health-source")

    def fault():
        upstream.behaviour = behaviour

    def mend():
        upstream.behaviour = "good"
        upstream.release.set()

    try:
        # The pipeline `alone` has nobody left.
        turns_red_and_green(host, "sources", "api", fault, mend, expected="unhealthy")
        until(host, "sources", "other", "healthy")
        eventually(host, lambda: section(host, "sources")["status"] == overall(host) == "healthy")
        # Taken out by hand: nobody asks how it is.
        fault()
        until(host, "sources", "api", "unhealthy")
        assert host.request("PATCH", "/v1/sources/api", b'{"enabled": false}',
                            {"Content-Type": "application/json"}).status == 200
        until(host, "sources", "api", "pending")
        eventually(host, lambda: overall(host) == "healthy")
    finally:
        mend()
        upstream.close()
        other.close()


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path).start()
    yield server
    server.stop()


@pytest.mark.skipif(not has_plugin("cache-redis"), reason="cache-redis is not built")
def test_a_cache_that_is_gone_half_dead_full_or_lies(make_host, redis):
    with FaultProxy(("127.0.0.1", redis.port)) as proxy:
        extra = f"[cache shared]\nplugin = redis\nurl = redis://127.0.0.1:{proxy.port}/0\nbreaker-open = 200ms\n" \
                "reply-timeout = 300ms\ndeadline = 300ms"
        host = make_host(name="health-cache", host=OFTEN, embed=False, extra=extra)
        host.stop()
        host.config_path.write_text(host.config_path.read_text().replace("levels = ram", "levels = ram; shared"))
        host.start()
        turns_red_and_green(host, "cache", "shared", redis.stop, redis.start)
        turns_red_and_green(host, "cache", "shared", redis.pause, redis.resume)
        turns_red_and_green(host, "cache", "shared", lambda: proxy.refuse(), lambda: proxy.heal())

        def fill():
            redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
            redis.command("CONFIG", "SET", "maxmemory", "1")

        turns_red_and_green(host, "cache", "shared", fill, lambda: redis.command("CONFIG", "SET", "maxmemory", "0"),
                            words="OOM")
        turns_red_and_green(host, "cache", "shared", lambda: redis.command("REPLICAOF", "127.0.0.1", "1"),
                            lambda: redis.command("REPLICAOF", "NO", "ONE"), words="READONLY")
        until(host, "cache", "ram", "healthy")
        assert redis.keys() <= 1  # what is put in is taken out again


@pytest.mark.skipif(binaries() is None or not has_plugin("source-postgres"), reason="no PostgreSQL")
def test_a_database_that_dies_or_hangs(make_host):
    import signal

    with PostgresServer() as server:
        server.sql("CREATE TABLE notes (id int, content text, relevance_score real, metadata jsonb); INSERT INTO notes VALUES (1, 'good health', 1, '{}')")
        text = f"""[host]
{OFTEN}
[http public]
listen = 127.0.0.1:0
[source notes]
plugin = postgres
dsn = {server.dsn()}
table = notes
deadline = 1s
breaker-open = 200ms
[pipeline default]
retrieve = notes
"""
        host = make_host(config=text, name="health-database")
        turns_red_and_green(host, "sources", "notes", server.kill, server.start, expected="unhealthy")
        turns_red_and_green(host, "sources", "notes", lambda: server.signal(signal.SIGSTOP),
                            lambda: server.signal(signal.SIGCONT), expected="unhealthy")


@pytest.mark.skipif(vector_binaries() is None or not has_plugin("store-pgvector"), reason="no pgvector")
def test_a_vector_store_that_dies(make_host):
    with PostgresServer(bin=vector_binaries()) as server:
        server.sql("CREATE EXTENSION vector")
        model = f"[embedder minilm]\nplugin = local\nmodel = {models_dir() / 'fast'}" if models_dir() else ""
        text = f"""[host]
{OFTEN}
[http public]
listen = 127.0.0.1:0
{model}
[vector-store docs]
plugin = pgvector
dsn = {server.dsn()}
breaker-open = 200ms
deadline = 2s
{"embedder = minilm" if model else ""}
[text-index words]
plugin = pgvector
of = docs
dsn = {server.dsn()}
breaker-open = 200ms
deadline = 2s
[pipeline default]
retrieve = {"docs; " if model else ""}words
"""
        host = make_host(config=text, name="health-store")
        host.ingest([{"id": "1", "content": "In good health."}])
        turns_red_and_green(host, "vector_db", "docs", server.kill, server.start, expected="unhealthy")
        # Where the words of the store's passages are in the same database, it is the other one's fault, too.
        turns_red_and_green(host, "text_indexes", "words", server.kill, server.start, expected="unhealthy")


def models_config(service, embedder="", reranker=""):
    return f"""[host]
threads = 2
{OFTEN}
[http public]
listen = 127.0.0.1:0
[embedder one]
plugin = http
base-url = {service.url('switch')}/embed
model = one
dimension = 64
health = deep
breaker-open = 200ms
{embedder}
[reranker judge]
plugin = http
base-url = {service.url('switch')}/judge
model = judge
health = deep
retry = 0
breaker-open = 200ms
{reranker}
[vector-store docs]
plugin = faiss
path = docs
embedder = one
[pipeline default]
retrieve = docs
rerank = judge
"""


@pytest.mark.parametrize("check, name", [("embedders", "one"), ("rerankers", "judge")])
@pytest.mark.parametrize("behaviour, words", [("broken", "out of memory"), ("garbage", "JSON"), ("limited", "rate limit"),
                                              ("silent", "")])
def test_a_model_elsewhere_that_fails_lies_refuses_or_is_silent(make_host, check, name, behaviour, words):
    service = Service()
    host = make_host(config=models_config(service, "deadline = 1s", "deadline = 1s"), name="health-models")

    def become(mode):
        service.mode = mode

    try:
        until(host, "embedders", "one", "healthy")
        until(host, "rerankers", "judge", "healthy")
        turns_red_and_green(host, check, name, lambda: become(behaviour), lambda: become("good"), expected=None,
                            words=words)
    finally:
        service.stop()


@pytest.mark.parametrize("check, name", [("embedders", "one"), ("rerankers", "judge")])
def test_a_model_elsewhere_that_is_gone(make_host, check, name):
    service = Service()
    with FaultProxy(("127.0.0.1", service.port)) as proxy:
        text = models_config(service).replace(f":{service.port}/", f":{proxy.port}/")
        host = make_host(config=text, name="health-models-gone")
        try:
            turns_red_and_green(host, check, name, proxy.refuse, proxy.heal, expected=None)
        finally:
            service.stop()


def test_a_disk_that_is_full(make_host, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)],
                                           check=False).returncode != 0:
        pytest.skip("cannot mount a small file system")
    try:
        host = make_host(name="health-disk", host=OFTEN, embed=False, arguments=["--state-dir", str(folder)])

        def disk(status):
            deadline = time.monotonic() + 180
            while (found := section(host, "disk"))["status"] != status:
                assert time.monotonic() < deadline, found
                time.sleep(0.05)
            return found

        disk("healthy")
        with open(folder / "ballast", "wb") as ballast:
            try:
                while True:
                    ballast.write(b"\0" * 65536)
            except OSError:
                pass
        assert "MiB are free" in disk("unhealthy")["error"]
        eventually(host, lambda: overall(host) == "degraded" and up(host, "disk", "state-dir") == 0)
        (folder / "ballast").unlink()
        disk("healthy")
        host.stop()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_node_that_is_not_checked(make_host):
    host = make_host(name="health-off", host=OFTEN, embed=False, cache="health = off", store="health = off")
    time.sleep(1)
    health = host.get("/v1/health").json
    assert "cache" not in health["checks"] and "vector_db" not in health["checks"]
    eventually(host, lambda: overall(host) == "healthy")


def test_checks_can_be_switched_on_by_a_reload(make_host):
    host = make_host(name="health-reload", embed=False, host="health-interval = 0")
    assert "cache" not in host.get("/v1/health").json["checks"]
    host.config_path.write_text(host.config_path.read_text().replace("health-interval = 0", OFTEN))
    assert host.post("/v1/admin/reload", {}).status == 200
    until(host, "cache", "ram", "healthy")


# ---- memory ----

def test_memory_that_runs_short_is_given_back_step_by_step(make_host):
    """With a limit that the host is already beyond, every step is taken, seen in the log and in /metrics; with more, all
    of it is taken back."""
    if models_dir() is None:
        pytest.skip("needs a model, for a host that is not tiny")
    host = make_host(name="memory", host="health-interval = 0\nmemory-limit = 64GiB")
    host.ingest([{"id": str(number), "content": f"document {number} about memory"} for number in range(20)])
    assert section(host, "memory")["bound"] in ("memory-limit", "machine", "control group")

    def limit(ratio):
        used = section(host, "memory")["used"]
        text = host.config_path.read_text()
        before = text[text.index("memory-limit"):].split("\n")[0]
        host.config_path.write_text(text.replace(before, f"memory-limit = {max(int(used / ratio), 64 << 20)}"))
        assert host.post("/v1/admin/reload", {}).status == 200

    def reaches(step):
        deadline = time.monotonic() + 180
        while section(host, "memory")["step"] != step:
            assert time.monotonic() < deadline, (section(host, "memory"), host.log()[-1500:])
            time.sleep(0.1)

    for number in range(50):
        host.context(query=f"document {number}")
    kept = host.metric("ragify_cache_level_entries", level="ram")
    time.sleep(2)  # a look later `used` is what all of this takes
    limit(0.83)
    reaches("shrink")
    assert host.metric("ragify_memory_step") == 2
    assert host.context(query="document 1").status == 200
    assert overall(host) == "degraded"
    limit(0.90)
    reaches("no-ingest")
    refused = host.post("/v1/documents", {"documents": [{"id": "late", "content": "too late"}]})
    assert refused.status == 503 and "memory" in refused.json["detail"] and refused.headers["retry-after"], refused
    assert host.context(query="document 2").status == 200
    limit(0.97)
    reaches("shed")
    refused = host.context(query="document 3")
    assert refused.status == 503 and refused.headers["retry-after"], refused
    assert overall(host) == "unhealthy"
    for path in ("/livez", "/readyz", "/metrics", "/v1/health"):
        assert host.get(path).status == 200
    for step in ("expire", "shrink", "no-ingest", "shed"):
        assert host.metric("ragify_memory_steps_total", step=step) >= 1, step
    for words in ("caches drop what has expired", "caches shrink", "documents are refused", "requests are refused"):
        assert words in host.log()
    assert host.metric("ragify_http_refused_total", reason="memory") >= 2
    assert kept >= 0
    limit(0.001)  # an administrator is let in
    reaches("none")
    assert "all is as usual again" in host.log()
    assert host.context(query="document 4").status == 200
    host.ingest([{"id": "later", "content": "now there is room"}])
