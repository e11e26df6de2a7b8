"""The cache tier of a running host: one computation for many, control, warming, and nothing stale."""

import collections
import concurrent.futures
import http.client
import json
import random
import threading
import time

import pytest
from conftest import models_dir
from test_client_tools import tool, tool_json

WORDS = "amber birch cedar delta ember fjord grove heath islet jetty knoll lagoon meadow nook oasis prairie quarry ridge".split()


def document(number, marker=""):
    return {"id": f"doc/{number}", "content": f"The {WORDS[number % len(WORDS)]} number {number} lies by the water. {marker}"}


@pytest.fixture(scope="module")
def cached(make_host):
    host = make_host(name="cache")
    host.ingest([document(number) for number in range(40)], "/v1/documents?chunking=none")
    return host


def cache_of(host, **fields):
    answer = host.context(**fields)
    assert answer.status == 200, answer
    return answer.json["cache"]


def tier(host, name="answers"):
    tiers = host.get("/v1/cache").json["tiers"]
    return next(item for item in tiers if item["name"] == name)


def await_warm(host, rounds):
    for _ in range(1200):
        state = host.get("/v1/cache/warm").json
        if state["round"] >= rounds and state["status"] == "idle":
            return state
        time.sleep(0.1)
    raise AssertionError(f"no end of warming: {state}")


# ---- one computation ----


def test_a_thousand_ask_one_cold_question_and_it_is_computed_once(cached):
    """All connections are open before the first request is sent."""
    misses = cached.metric("ragify_cache_misses_total")
    asked = cached.metric("ragify_source_requests_total", source="words")
    hits = cached.metric("ragify_cache_hits_total")
    body = json.dumps({"query": "which islet lies by the water", "max_chunks": 3}).encode()
    request = (b"POST /v1/context HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
               b"Content-Length: %d\r\n\r\n" % len(body)) + body
    clients = [cached.connect(timeout=120) for _ in range(1000)]
    for client in clients:
        client.sendall(request)
    answers = []
    for client in clients:
        received = b""
        while piece := client.recv(65536):
            received += piece
        client.close()
        head, _, text = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), received[:300]
        answers.append(json.loads(text))
    assert all(answer["chunks"] == answers[0]["chunks"] and answer["chunks"] for answer in answers)
    assert cached.metric("ragify_cache_misses_total") == misses + 1
    assert cached.metric("ragify_source_requests_total", source="words") == asked + 1
    assert cached.metric("ragify_cache_hits_total") == hits + 999


# ---- control ----


def test_statistics_say_what_happened(cached):
    before = tier(cached)
    assert cache_of(cached, query="the birch statistics") == "miss"
    assert cache_of(cached, query="the birch statistics") == "memory"
    after = tier(cached)
    assert after["hits"] == before["hits"] + 1 and after["misses"] == before["misses"] + 1
    assert 0 < after["hit_rate"] <= 1
    level = after["levels"][0]
    assert level["name"] == "ram" and level["kind"] == "memory" and level["reading"] == level["writing"] == "closed"
    assert level["statistics"]["entries"] > 0 and level["statistics"]["bytes"] > 0
    assert after["pipelines"] == ["default"]


def test_one_request_is_looked_up_and_forgotten(cached):
    path = "/v1/cache?q=the+cedar+entry&max_chunks=4"
    found = cached.get(path)
    assert found.status == 200, found
    assert found.json["tiers"][0]["levels"][0] == {"name": "ram", "kind": "memory", "found": False}
    cache_of(cached, query="the cedar entry", max_chunks=4)
    level = cached.get(path).json["tiers"][0]["levels"][0]
    assert level["found"] and level["chunks"] == 4 and level["bytes"] > 100
    assert 0 <= level["age"] < 60 and 200 < level["expires_in"] < 320
    key = cached.get(path).json["key"]
    assert cached.request("DELETE", f"/v1/cache?key={key}").json["removed"] == 1
    assert cache_of(cached, query="the cedar entry", max_chunks=4) == "miss"
    forgotten = cached.request("DELETE", path)
    assert forgotten.status == 200 and forgotten.json["removed"] == 1 and forgotten.json["key"] == key
    assert cache_of(cached, query="the cedar entry", max_chunks=4) == "miss"


def test_all_is_cleared(cached):
    cache_of(cached, query="the delta to clear")
    answer = cached.request("DELETE", "/v1/cache")
    assert answer.status == 200 and answer.json["removed"] >= 1, answer
    assert tier(cached)["levels"][0]["statistics"]["entries"] == 0
    assert cache_of(cached, query="the delta to clear") == "miss"
    assert cached.request("DELETE", "/v1/cache?tier=answers").json["removed"] >= 1


@pytest.mark.parametrize("method,path,status,field", [
    ("DELETE", "/v1/cache?tier=none", 404, "tier"),
    ("DELETE", "/v1/cache?key=123", 422, "key"),
    ("DELETE", "/v1/cache?key=" + "g" * 32, 422, "key"),
    ("GET", "/v1/cache?q=a&max_chunks=0", 422, "max_chunks"),
    ("GET", "/v1/cache?max_chunks=5", 422, "query"),
    ("GET", "/v1/cache?q=a&pipeline=none", 422, "pipeline"),
    ("DELETE", "/v1/cache?quary=a", 422, "quary"),
    ("GET", "/v1/cache/warm?a=b", 400, "a"),
    ("PUT", "/v1/cache", 405, None),
])
def test_what_is_wrong_with_a_request_is_named(cached, method, path, status, field):
    answer = cached.request(method, path)
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert answer.json["field"] == field, answer


@pytest.mark.parametrize("body,status,field", [
    (b"{", 400, None),
    (b"[]", 422, None),
    ({"queries": "a"}, 422, "queries"),
    ({"queries": [1]}, 422, "queries"),
    ({"busiest": -1}, 422, "busiest"),
    ({"busiest": 1001}, 422, "busiest"),
    ({"concurrency": 0}, 422, "concurrency"),
    ({"refresh": 1}, 422, "refresh"),
    ({"pipeline": "none"}, 422, "pipeline"),
    ({"pipeline": 1}, 422, "pipeline"),
    ({"querys": []}, 422, None),
])
def test_what_is_wrong_with_a_warming_is_named(cached, body, status, field):
    answer = cached.post("/v1/cache/warm", body)
    assert answer.status == status, answer
    if field is not None:
        assert answer.json["field"] == field, answer


# ---- refresh, bypass ----


def test_refresh_replaces_and_bypass_leaves_alone(cached):
    assert cache_of(cached, query="fjord again") == "miss"
    assert cache_of(cached, query="fjord again", cache="bypass") == "miss"
    assert cache_of(cached, query="fjord again") == "memory"
    time.sleep(0.3)
    began = time.monotonic()
    assert cache_of(cached, query="fjord again", cache="refresh") == "miss"
    age = cached.get("/v1/cache?q=fjord+again").json["tiers"][0]["levels"][0]["age"]
    assert age <= time.monotonic() - began + 0.01, "it is the one that was made since"
    assert cache_of(cached, query="never kept", cache="bypass") == "miss"
    assert cache_of(cached, query="never kept") == "miss"


# ---- warming ----


def test_queries_are_computed_in_advance_and_failures_listed(cached):
    rounds = cached.get("/v1/cache/warm").json["round"]
    cache_of(cached, query="the ridge that is there")
    answer = cached.post("/v1/cache/warm", {"queries": ["the heath to warm", {"query": "the knoll", "max_chunks": 2},
                                                        "the ridge that is there", "   ",
                                                        {"query": "x", "pipeline": "none"}, {"query": "x", "limit": 3}],
                                            "concurrency": 3})
    assert answer.status == 202, answer
    state = await_warm(cached, rounds + 1)
    assert (state["total"], state["done"], state["computed"], state["kept"], state["failed"]) == (6, 6, 2, 1, 3), state
    reasons = " ".join(failure["reason"] for failure in state["failures"])
    assert "white space" in reasons and "'none'" in reasons and "limit" in reasons
    assert cache_of(cached, query="the heath to warm") == "memory"
    assert cache_of(cached, query="the knoll", max_chunks=2) == "memory"
    assert cached.metric("ragify_cache_warmed_total", result="failed") >= 3


def test_the_busiest_are_computed_anew_after_everything_was_cleared(cached):
    for _ in range(8):
        cache_of(cached, query="the busiest meadow", max_chunks=7)
    busiest = cached.get("/v1/cache").json["busiest"]
    assert {"count": 8, "request": {"query": "the busiest meadow", "max_chunks": 7, "pipeline": "default",
                                    "mode": "hybrid"}} in busiest, busiest
    rounds = cached.get("/v1/cache/warm").json["round"]
    cached.request("DELETE", "/v1/cache")
    assert cached.post("/v1/cache/warm", {"busiest": 10}).status == 202
    await_warm(cached, rounds + 1)
    assert cache_of(cached, query="the busiest meadow", max_chunks=7) == "memory"


def test_a_second_round_waits_for_the_first(cached):
    for turn in range(20):  # on a machine that pauses the first may have come to its end
        rounds = cached.get("/v1/cache/warm").json["round"]
        many = {"queries": [f"the grove number {turn} {number}" for number in range(300)], "concurrency": 1}
        assert cached.post("/v1/cache/warm", many).status == 202
        answer = cached.post("/v1/cache/warm", {"queries": ["one more"]})
        if answer.status == 409:
            assert answer.headers["retry-after"] == "1", answer
            assert await_warm(cached, rounds + 1)["computed"] == 300
            return
        await_warm(cached, rounds + 2)
    raise AssertionError(answer)


def test_warming_at_the_start_and_after_changes(make_host, tmp_path):
    (tmp_path / "queries").write_text("# popular\nthe amber of the file\n\n{\"query\": \"the amber\", \"max_chunks\": 2}\n")
    options = dict(name="warm", pipeline=f"warm = both\nwarm-file = {tmp_path}/queries\nwarm-queries = the oasis; the nook")
    host = make_host(**options)
    state = await_warm(host, 1)
    assert state["computed"] == 4 and state["failed"] == 0, state
    assert cache_of(host, query="the oasis") == "memory"
    host.ingest([document(number) for number in range(18)], "/v1/documents?chunking=none")
    state = await_warm(host, 2)
    assert state["computed"] >= 4, state
    answer = host.context(query="the oasis")
    assert answer.json["cache"] == "memory" and answer.json["chunks"], answer
    for _ in range(5):
        cache_of(host, query="remembered over the restart", max_chunks=3)
    config, state_folder = host.config_path.read_text(), host.state
    host.stop()
    assert "remembered over the restart" in (state_folder / "busiest.ndjson").read_text()
    host.start()
    state = await_warm(host, 1)
    assert cache_of(host, query="remembered over the restart", max_chunks=3) == "memory", (state, config)


def test_a_missing_file_of_queries_is_a_warning(make_host, tmp_path):
    host = make_host(name="warm-missing", pipeline=f"warm = start\nwarm-file = {tmp_path}/none\nwarm-queries = the oasis")
    assert await_warm(host, 1)["computed"] == 1
    assert "warm-file" in host.log()


# ---- ragify-ctl ----


def test_ragify_ctl_shows_forgets_and_warms(cached, tmp_path):
    url = f"http://127.0.0.1:{cached.port}"
    words, _ = tool("ragify-ctl", "--url", url, "cache", "warm", "the lagoon of the tool", "the jetty of the tool")
    assert "2 computed" in words, words
    found = tool_json("ragify-ctl", "--url", url, "cache", "get", "the lagoon of the tool")
    assert found["tiers"][0]["levels"][0]["found"]
    words, _ = tool("ragify-ctl", "--url", url, "cache", "get", "the lagoon of the tool")
    assert "ram: " in words and "chunks" in words, words
    words, _ = tool("ragify-ctl", "--url", url, "cache", "get", "the lagoon of the tool", "--parameter", "max_chunks=3")
    assert "ram: not there" in words
    words, _ = tool("ragify-ctl", "--url", url, "cache", "stats")
    assert "answers" in words and "memory" in words and "well" in words, words
    assert "removed 1 " in tool("ragify-ctl", "--url", url, "cache", "clear", "the lagoon of the tool")[0]
    (tmp_path / "queries").write_text("# a comment\nthe lagoon of the tool\n{\"query\": \"x\", \"max_chunks\": 0}\n")
    words, complaint = tool("ragify-ctl", "--url", url, "cache", "warm", "--file", tmp_path / "queries", expect=1)
    assert "1 computed" in words and "1 failed" in words and "max_chunks" in complaint, (words, complaint)
    tool("ragify-ctl", "--url", url, "cache", "clear")
    assert "the lagoon of the tool" not in json.dumps(tool_json("ragify-ctl", "--url", url, "cache", "stats")["busiest"])
    tool("ragify-ctl", "--url", url, "cache", "grow", expect=2)
    tool("ragify-ctl", "--url", url, "cache", "get", expect=2)
    tool("ragify-ctl", "--url", url, "cache", "get", "a", "--parameter", "b", expect=2)


def test_levels_are_in_the_metrics(cached):
    for number in range(3):
        cache_of(cached, query=f"the quarry measured {number}")
    for _ in range(200):
        if cached.metric("ragify_cache_level_entries", level="ram") > 0:
            break
        time.sleep(0.1)
    assert cached.metric("ragify_cache_level_entries", level="ram") > 0
    assert cached.metric("ragify_cache_level_bytes", level="ram") > 0
    assert 0 < cached.metric("ragify_cache_hit_ratio", tier="answers") <= 1


# ---- stale while it is renewed ----


def test_a_stale_answer_is_given_while_a_fresh_one_is_made(make_host):
    host = make_host(name="stale", tier="stale-while-revalidate = 1h", cache="ttl = 1s")
    host.ingest([document(number) for number in range(5)])
    assert cache_of(host, query="the birch") == "miss"
    time.sleep(1.2)
    assert cache_of(host, query="the birch") == "memory"  # past its second
    assert host.metric("ragify_cache_stale_total") >= 1
    for _ in range(300):
        level = host.get("/v1/cache?q=the+birch").json["tiers"][0]["levels"][0]
        if level["age"] < 1:
            return
        time.sleep(0.05)
        cache_of(host, query="the birch")
    raise AssertionError(f"it was never renewed: {level}")


# ---- nothing that is deleted ----


class Storm:
    """Ingests, deletes and queries from many clients at once. A deletion is noted when it was acknowledged; an answer to
    a request that began later must not hold what was deleted; nor what was replaced, where each commit outdates. Where
    there are several hosts, those that did not delete it may answer with it for `staleness` seconds more; and they write in
    turns of `turn` seconds, since a host that writes learns on the way what the others have written."""

    def __init__(self, hosts, seconds, replaced, clients=16, staleness=0, pause=0.05, turn=None):
        self.replaced = replaced
        self.staleness, self.pause, self.turn = staleness, pause, turn
        self.hosts = hosts
        self.seconds, self.deadline = seconds, None
        self.clients = clients
        self.lock = threading.Lock()
        self.versions = {}  # document → version now
        self.deleted = {}  # marker → when its deletion, or replacement, was acknowledged, and by which host
        self.answers = self.hits = self.writes = 0
        self.levels = collections.Counter()  # (host, what its answer's `cache` says) → answers
        self.wrong = []

    def marker(self, number, version):
        return f"marker{number}v{version}m"

    def write(self, random_numbers, connection, host):
        number = random_numbers.randrange(60)
        with self.lock:
            version = self.versions.get(number)
            if version is not None and version < 0:
                return
            self.versions[number] = -1  # ours alone
        delete = version is not None and random_numbers.random() < 0.5
        new = (abs(version) if version is not None else self.writes) + 1
        if delete:
            connection.request("DELETE", f"/v1/documents/doc%2F{number}")
        else:
            body = json.dumps({"documents": [document(number, self.marker(number, new))]})
            connection.request("POST", "/v1/documents?chunking=none", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        with self.lock:
            if version is not None and (delete or self.replaced):
                self.deleted[self.marker(number, version)] = time.monotonic(), host
            self.versions[number] = None if delete else new
            if delete:
                del self.versions[number]
            self.writes = max(self.writes, new)

    def ask(self, random_numbers, connection, host):
        query = f"{random_numbers.choice(WORDS)} by the water"
        began = time.monotonic()
        body = json.dumps({"query": query, "max_chunks": 20})
        connection.request("POST", "/v1/context", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        value = json.loads(text)
        with self.lock:
            self.answers += 1
            self.hits += value["cache"] != "miss"
            self.levels[host, value["cache"]] += 1
            for chunk in value["chunks"]:
                marker = chunk["content"].rsplit(" ", 1)[-1]
                gone, by = self.deleted.get(marker, (began, host))
                if gone + (self.staleness if by != host else 0) < began:
                    self.wrong.append((marker, began - gone, value["cache"], f"deleted by {by}", f"answered by {host}"))

    def client(self, place):
        random_numbers = random.Random(place)
        own = place // 4 % len(self.hosts)  # of each four clients one writes
        connections = [http.client.HTTPConnection("127.0.0.1", host.port, timeout=120) for host in self.hosts]
        try:
            while (left := self.deadline - time.monotonic()) > 0 and not self.wrong:
                if place % 4 == 0:
                    host = own if self.turn is None else int(left / self.turn) % len(self.hosts)
                    self.write(random_numbers, connections[host], host)
                    time.sleep(self.pause)
                else:
                    self.ask(random_numbers, connections[own], own)
        finally:
            for connection in connections:
                connection.close()

    def run(self):
        self.hosts[0].ingest([document(number, self.marker(number, 1)) for number in range(60)],
                             "/v1/documents?chunking=none")
        self.versions = {number: 1 for number in range(60)}
        for host in self.hosts:
            for word in WORDS:  # what is deleted later is in the cache now
                answer = host.context(query=f"{word} by the water", max_chunks=20).json
                assert answer["chunks"]
                self.levels[self.hosts.index(host), answer["cache"]] += 1
        self.deadline = time.monotonic() + self.seconds
        with concurrent.futures.ThreadPoolExecutor(self.clients) as pool:
            for future in [pool.submit(self.client, place) for place in range(self.clients)]:
                future.result()
        assert not self.wrong, self.wrong[:5]
        assert self.answers > 20 and self.deleted, (self.answers, len(self.deleted))
        print(f"{self.answers} answers, {self.hits} of them cached, {len(self.deleted)} deletions and replacements")


@pytest.mark.parametrize("invalidate", ["0", "1s", "1h"])
def test_a_deleted_chunk_is_never_answered(make_host, invalidate):
    host = make_host(name="storm", tier=f"invalidate-every = {invalidate}", embed=False)
    Storm([host], 5, invalidate == "0").run()


@pytest.mark.long
@pytest.mark.parametrize("invalidate", ["0", "2s"])
def test_a_deleted_chunk_is_never_answered_for_a_minute(make_host, invalidate):
    host = make_host(name="long-storm", tier=f"invalidate-every = {invalidate}", embed=False)
    Storm([host], 60, invalidate == "0").run()


# ---- what means the same ----


def test_a_query_that_means_the_same_has_the_same_answer(make_host):
    if models_dir() is None:
        pytest.skip("no models/fast")
    host = make_host(name="semantic", tier="semantic = true\nsemantic-threshold = 0.9")
    host.ingest([document(number) for number in range(30)])
    first = host.context(query="Where is the amber by the water?", max_chunks=3).json
    assert first["cache"] == "miss"
    other = host.context(query="where is the amber by the water", max_chunks=3)
    assert other.json["cache"] == "semantic" and other.headers["x-cache"] == "semantic", other
    assert other.json["chunks"] == first["chunks"] and other.json["query"] == "where is the amber by the water"
    assert cache_of(host, query="where is the amber by the water", max_chunks=4) == "miss"
    assert cache_of(host, query="what do quokkas eat in winter", max_chunks=3) == "miss"
    assert cache_of(host, query="where is  the amber by the water", max_chunks=3, cache="bypass") == "miss"
    assert cache_of(host, query="where is the amber, by the water", max_chunks=3, mode="lexical") == "miss"
    assert host.metric("ragify_cache_semantic_hits_total", pipeline="default") == 1
    host.request("DELETE", "/v1/cache")
    assert cache_of(host, query="Where's the amber by the water?", max_chunks=3) == "miss"  # its answer is gone
