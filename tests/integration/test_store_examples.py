"""What the pages and profiles show of Chroma, pgvector and the short forms of stores, run on real servers."""

import json
import re
import urllib.request

import pytest

import test_store_chroma
from chroma_server import ChromaServer, chroma_program
from conftest import ROOT, build_dir
from model_server import Service, embed
from postgres_server import PostgresServer, vector_binaries
from test_store_chroma import best, configuration, documents, ids

STORES, SOURCES = ((ROOT / "docs" / name).read_text() for name in ("stores.md", "sources.md"))

needs_chroma = pytest.mark.skipif(chroma_program() is None or not (build_dir() / "plugins/store-chroma/store-chroma.so").exists(),
                                  reason="no Chroma server")
needs_pgvector = pytest.mark.skipif(vector_binaries() is None or not (build_dir() / "plugins/store-pgvector/store-pgvector.so").exists(),
                                    reason="no PostgreSQL with pgvector")


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def chroma():
    with ChromaServer() as running:
        yield running


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer(bin=vector_binaries()) as running:
        running.sql("CREATE EXTENSION vector")
        yield running


def block(page, begin):
    """The lines of the configuration on the page that has these words."""
    return next(text for text in re.findall(r"```ini\n(.*?)```", page, re.S) if begin in text)


def url_of_the_page(scheme):
    """The key that the page shows for the scheme, without what is said beside it."""
    line, = re.findall(rf"^(?:# )?(vector-db-url = {scheme}://\S*)", block(STORES, "vector-db-url"), re.M)
    return line


def changed(text, *changes):
    for old, new in changes:
        assert old in text, (old, text)
        text = text.replace(old, new)
    return text


def works_and_lasts(host, lasts=True):
    assert host.ingest(documents(30))["documents"] == 30
    assert best(host, "heron number 12", 1) == ["d12"]
    german = host.context(query="heron number 12", max_chunks=30, filter={"lang": "de"}, cache="bypass")
    assert ids(german) and all(chunk["metadata"]["lang"] == "de" for chunk in german.json["chunks"])
    host.stop()
    host.start()
    assert best(host, "heron number 12", 1) == (["d12"] if lasts else [])


def test_the_page_shows_every_short_form():
    assert re.findall(r"vector-db-url = (\w+)://", block(STORES, "vector-db-url")) == ["faiss", "memory", "postgresql", "chroma"]


def test_a_store_in_a_folder_by_its_url(make_host, service, tmp_path):
    url = changed(url_of_the_page("faiss"), ("/srv/ragify/docs", str(tmp_path / "docs")))
    works_and_lasts(make_host(configuration(service, url), name="faiss-url"))
    assert (tmp_path / "docs" / "store.db").exists()


def test_a_store_in_memory_by_its_url(make_host, service):
    works_and_lasts(make_host(configuration(service, url_of_the_page("memory")), name="memory-url"), lasts=False)


@needs_pgvector
def test_a_store_in_postgresql_by_its_url(make_host, service, postgres):
    place = f"ragify@127.0.0.1:{postgres.port}/postgres"
    url = changed(url_of_the_page("postgresql"), ("ragify@db.example/docs", place))
    works_and_lasts(make_host(configuration(service, url + "\ntable = by_url"), name="postgresql-url"))
    assert postgres.value("SELECT count(*) FROM by_url_chunks") == "30"
    other = make_host(configuration(service, f"vector-db-url = postgres://{place}\ntable = by_url"), name="postgres-url")
    assert best(other, "heron number 12", 1) == ["d12"]


@needs_chroma
def test_a_store_in_chroma_by_its_url(make_host, service, chroma):
    url = changed(url_of_the_page("chroma"), ("chroma.example:8000/docs", f"127.0.0.1:{chroma.port}/by-url"))
    works_and_lasts(make_host(configuration(service, url), name="chroma-url"))
    with urllib.request.urlopen(f"{chroma.url()}/api/v2/tenants/default_tenant/databases/default_database/collections") as reply:
        assert b'"by-url"' in reply.read()


@needs_pgvector
def test_the_page_s_store_and_words_in_postgresql(make_host, service, postgres, tmp_path):
    dsn = tmp_path / "docs.dsn"
    dsn.write_text(postgres.dsn())
    dsn.chmod(0o600)
    shown = re.sub(r" *#.*", "", block(STORES, "retrieve = docs; words"))
    lines = configuration(service, "plugin = faiss").split("[vector-store docs]")[0]
    text = lines + changed(shown, ("dsn-file = docs.dsn", f"dsn-file = {dsn}"), ("embedder = minilm", "embedder = words64"))
    host = make_host(text, name="page-postgresql")
    host.ingest(documents(30))
    assert best(host, "heron number 12", 1) == ["d12"]
    assert best(host, "plover", 1, mode="lexical")


@needs_pgvector
def test_rows_by_meaning_as_the_page_shows(make_host, service, postgres, tmp_path):
    postgres.sql("CREATE TABLE articles (id text, title text, content text, embedding vector(64))")
    for i, text in enumerate(("The heron stands in the reeds.", "An otter swims in the pond.", "A beaver fells a willow.")):
        postgres.sql(f"INSERT INTO articles VALUES ('a{i}', 'Article {i}', '{text}', '{json.dumps(embed(text))}')")
    dsn = tmp_path / "articles.dsn"
    dsn.write_text(postgres.dsn())
    dsn.chmod(0o600)
    lines = configuration(service, url_of_the_page("memory")).split("[pipeline default]")[0]
    shown = changed(block(SOURCES, "postgres-vector"), ("dsn-file = articles.dsn", f"dsn-file = {dsn}"))
    host = make_host(lines + shown + "cache = ram\ndeadline = 20s\n", name="articles")
    host.ingest([{"id": "note", "content": "Nothing of all that."}])
    answer = host.context(query="otter swims in the pond", max_chunks=4)
    chunks = answer.json["chunks"]
    assert [chunk["content"] for chunk in chunks][:1] == ["An otter swims in the pond."], answer
    assert chunks[0]["source"]["name"] == "articles" and chunks[0]["source"]["type"] == "database"
    assert {chunk["source"]["name"] for chunk in chunks} == {"articles", "docs"}


@needs_chroma
def test_the_profile_of_low_latency_on_chroma(make_host, service, chroma):
    """With what the profile itself says has to be added."""
    text = configuration(service, test_store_chroma.own(chroma, "profile")).replace("[host]\n", "[host]\nprofile = low_latency\n")
    host = make_host(text.replace("deadline = 20s\n[", "["), name="low-latency")
    host.ingest(documents(30))
    query = {"query": "heron number 12", "max_chunks": 1}
    assert ids(host.context(**query)) == ["d12"]
    assert host.context(**query).json["cache"] == "memory"
    assert not [line for line in host.log().splitlines() if "profile" in line and "warning" in line.lower()]
