"""Replicas: two hosts that share a Redis and a store in PostgreSQL answer with nothing that was deleted, wherever that was.

A request must not be answered with a chunk whose deletion was acknowledged `max-staleness` before it began, or earlier. What the
bound needs on top is nothing: how old the store's generation may be is judged when the request has come in, which is later than the
client's clock was read, and a deletion is committed before it is acknowledged. On the host that deleted it, and with
`max-staleness = 0` on the other one as well, a deleted chunk is never answered at all."""

import pytest
from conftest import build_dir
from postgres_server import PostgresServer, vector_binaries
from redis_server import Redis
from test_cache import Storm

pytestmark = [
    pytest.mark.skipif(vector_binaries() is None, reason="no PostgreSQL with pgvector"),
    pytest.mark.skipif(not (build_dir() / "plugins/store-pgvector/store-pgvector.so").exists(), reason="not built"),
]
DEFAULT_STALENESS = 1  # seconds: of a tier that does not say


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer(bin=vector_binaries()) as running:
        yield running


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path).start()
    yield server
    server.stop()


def config(postgres, redis, table, tier):
    """Without a TTL that could hide what the generations do not see."""
    return f"""
[host]
threads = 2
[http public]
listen = 127.0.0.1:0
[cache ram]
plugin = memory
ttl = 1h
[cache shared]
plugin = redis
url = {redis.url}
deadline = 20s
ttl = 1d
[tier answers]
levels = ram; shared
{tier}
[vector-store docs]
plugin = pgvector
dsn = {postgres.dsn()}
table = {table}
[text-index words]
plugin = pgvector
of = docs
dsn = {postgres.dsn()}
table = {table}
[pipeline default]
cache = answers
retrieve = words
"""


TIERS = {
    "default": ("", DEFAULT_STALENESS, True),
    "0": ("max-staleness = 0", 0, True),
    # Replaced chunks may then be answered for longer, deleted ones not.
    "invalidate-every": ("max-staleness = 300ms\ninvalidate-every = 2s", 0.3, False),
}


def storm(make_host, postgres, redis, name, seconds, pause):
    tier, staleness, replaced = TIERS[name]
    table = f"storm_{seconds}_{name.replace('-', '_')}"
    text = config(postgres, redis, table, tier)
    hosts = [make_host(text, name=f"{table}-{number}") for number in range(2)]
    found = Storm(hosts, seconds, replaced, staleness=staleness, pause=pause, turn=3)
    found.run()
    assert {by for _, by in found.deleted.values()} == {0, 1}, len(found.deleted)
    for level, node in (("memory", "ram"), ("redis", "shared")):
        assert found.levels[0, level] + found.levels[1, level] > 0, found.levels
        for number, host in enumerate(hosts):  # what the client was told is what the host counted
            assert host.metric("ragify_cache_level_hits_total", level=node) == found.levels[number, level]
    for host in hosts:
        host.stop()


@pytest.mark.parametrize("name", TIERS)
def test_what_one_host_deleted_the_other_does_not_answer(make_host, postgres, redis, name):
    storm(make_host, postgres, redis, name, 8, 0.3)


@pytest.mark.long
@pytest.mark.parametrize("name", TIERS)
def test_what_one_host_deleted_the_other_does_not_answer_for_a_minute(make_host, postgres, redis, name):
    storm(make_host, postgres, redis, name, 60, 0.1)
