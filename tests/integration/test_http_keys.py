"""API keys: who may ask what, limits, what a key is held to, and keys that change while the host runs."""

import hashlib
import json
import os
import subprocess
import threading
import time
from urllib.parse import quote

import pytest

from conftest import Host, build_dir, embedded_config, host_executable, models_dir

ADMIN, READER, WRITER, ACME, BETA = "rgf_admin", "rgf_reader", "rgf_writer", "rgf_acme", "rgf_beta"
SLOW, NARROW, PAST = "rgf_slow", "rgf_narrow", "rgf_past"


def group(name, key, **lines):
    text = [f"[{name}]", f"sha256 = {hashlib.sha256(key.encode()).hexdigest()}"]
    return "\n".join(text + [f"{key.replace('_', '-')} = {value}" for key, value in lines.items()]) + "\n\n"


def keys_text():
    return (group("admin", ADMIN, scopes="admin") + group("reader", READER) + group("writer", WRITER, scopes="write") +
            group("acme", ACME, scopes="read; write", filter='{"tenant": "acme"}') +
            group("beta", BETA, scopes="write", filter='{"tenant": "beta"}') +
            group("slow", SLOW, rate="0.5", burst=2) + group("narrow", NARROW, pipelines="other") +
            group("past", PAST, expires="2020-01-01T00:00:00Z"))


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(keys_text())
    return path


@pytest.fixture(scope="module")
def kept(make_host, keys_file):
    return make_host(name="keys", http=f"api-keys-file = {keys_file}", embed=False)


def search(host, key, query, **fields):
    answer = host.post("/v1/context", {"query": query, **fields}, bearer(key))
    assert answer.status == 200, answer
    return answer.json


def put(host, key, *documents):
    return host.post("/v1/documents", {"documents": list(documents)}, bearer(key))


def test_without_a_key_only_probes_are_answered(kept):
    assert kept.get("/livez").status == 200
    assert kept.get("/readyz").status == 200
    for method, path in (("GET", "/v1/context?q=a"), ("GET", "/metrics"), ("GET", "/v1/stats"), ("GET", "/v1/health"),
                         ("GET", "/v1/documents"), ("DELETE", "/v1/documents/a")):
        answer = kept.request(method, path)
        assert answer.status == 401, (path, answer)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json["title"] == "Unauthorized"


@pytest.mark.parametrize("headers", [bearer("rgf_wrong"), bearer(""), {"Authorization": "Basic cmdmX3JlYWRlcg=="},
                                     {"X-API-Key": READER + "x"}, bearer(PAST), bearer("x" * 5000)])
def test_wrong_keys_are_refused(kept, headers):
    answer = kept.get("/v1/context?q=a", headers)
    assert answer.status == 401, answer


def test_two_credentials_of_a_kind_are_refused(kept):
    answer = kept.raw(f"GET /v1/stats HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {READER}\r\n"
                      f"Authorization: Bearer {ADMIN}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_both_headers_carry_keys(kept):
    assert kept.get("/v1/context?q=a", bearer(READER)).status == 200
    assert kept.get("/v1/context?q=a", {"X-API-Key": READER}).status == 200
    assert kept.get("/v1/context?q=a", {"Authorization": f"bearer  {READER}"}).status == 200


def test_scopes_say_what_a_key_may_do(kept):
    refused = put(kept, READER, {"id": "r", "content": "A reader writes."})
    assert refused.status == 403 and "write" in refused.json["detail"]
    assert put(kept, WRITER, {"id": "w", "content": "A writer writes."}).status == 200
    assert kept.request("DELETE", "/v1/documents/w", headers=bearer(READER)).status == 403
    assert kept.request("DELETE", "/v1/documents/w", headers=bearer(WRITER)).status == 200


def test_a_refused_upload_is_not_read(kept):
    answer = kept.request("POST", "/v1/documents", b"x" * 3_000_000, {"Content-Type": "application/x-ndjson"})
    assert answer.status == 401


def test_a_tenant_sees_and_changes_only_its_own(kept):
    assert put(kept, ACME, {"id": "acme-1", "content": "Zebra crossings are striped."}).status == 200
    assert put(kept, BETA, {"id": "beta-1", "content": "Zebra finches sing."}).status == 200
    assert put(kept, WRITER, {"id": "common", "content": "Zebra mussels spread."}).status == 200

    # The same words, the same cache, one after the other, twice.
    for _ in range(2):
        for key, own in ((ACME, "acme-1"), (BETA, "beta-1")):
            answer = search(kept, key, "zebra")
            assert [chunk["document_id"] for chunk in answer["chunks"]] == [own]
            assert all(chunk["metadata"]["tenant"] == own[:4] for chunk in answer["chunks"])
    assert len(search(kept, READER, "zebra")["chunks"]) == 3

    # Its own filter narrows what is left, and cannot widen it.
    assert search(kept, ACME, "zebra", filter={"tenant": "beta"})["chunks"] == []
    wide = {"or": [{"tenant": "beta"}, {"tenant": "acme"}, {"not": {"tenant": "nobody"}}]}
    assert [c["document_id"] for c in search(kept, ACME, "zebra", filter=wide, explain=True)["chunks"]] == ["acme-1"]

    listed = kept.get("/v1/documents", bearer(ACME)).json["documents"]
    assert [document["id"] for document in listed] == ["acme-1"]
    for path in ("/v1/documents/beta-1", "/v1/documents/common"):
        assert kept.get(path, bearer(ACME)).status == 404
        assert kept.request("DELETE", path, headers=bearer(ACME)).status == 404
    assert kept.get("/v1/documents/beta-1", bearer(BETA)).status == 200

    # An id that somebody else has cannot be taken over, nor the mark of somebody else be set.
    taken = put(kept, ACME, {"id": "beta-1", "content": "Overwritten."})
    assert taken.status == 422 and "is taken" in taken.json["detail"], taken
    foreign = put(kept, ACME, {"id": "acme-2", "content": "Text.", "metadata": {"tenant": "beta"}})
    assert "tenant" in json.dumps(foreign.json), foreign
    assert kept.get("/v1/documents/acme-2", bearer(READER)).status == 404
    assert "finches" in kept.get("/v1/documents/beta-1", bearer(BETA)).json["chunks"][0]["content"]


def rewordings(words):
    """Questions that mean the same and are not the same."""
    return (" ".join(word.upper() if bits >> i & 1 else word for i, word in enumerate(words.split())) for bits in range(1, 256))


def test_tenants_do_not_meet_by_whatever_way_they_ask(make_host, tmp_path):
    """The same words, the same semantic cache: not by it, nor by explain, a batch, MCP, OpenAI's search, a stream, or an error."""
    if models_dir() is None:
        pytest.skip("no models/fast")
    keys = tmp_path / "keys"
    keys.write_text(keys_text())
    host = make_host(name="keys-semantic", http=f"api-keys-file = {keys}",
                     tier="semantic = true\nsemantic-threshold = 0.9\ninvalidate-every = 1h")
    secrets = {ACME: "quokkas", BETA: "narwhals"}
    for key, secret in secrets.items():
        assert put(host, key, {"id": f"the-{secret}", "content": f"How the zebra crossings are striped: ask the {secret}."}).status == 200
    assert put(host, WRITER, {"id": "common", "content": "How the zebra crossings are striped: ask the walruses."}).status == 200

    def asked(key, query, **fields):
        answer = host.post("/v1/context", {"query": query, "explain": True, **fields}, bearer(key))
        assert answer.status == 200
        for other in {*secrets.values(), "walruses"} - {secrets[key]}:
            assert other not in answer.body.decode(), answer
        assert [chunk["document_id"] for chunk in answer.json["chunks"]] == [f"the-{secrets[key]}"]
        assert answer.json["total_chunks"] == 1
        return answer.json["cache"]

    words = "how are the zebra crossings at the harbour striped"
    assert asked(ACME, words) == "miss"
    assert asked(BETA, words) == "miss"  # the very same question of somebody else
    # Once a tenant is answered out of what it has asked before, the other still is not, in the same words.
    for query in rewordings(words):
        if asked(ACME, query) == "semantic":
            break
    else:
        pytest.fail("nothing was ever answered by its meaning")
    for query in list(rewordings(words))[:8]:
        asked(BETA, query)
        asked(ACME, query, mode="dense")
    for key, secret in secrets.items():
        called = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                  "params": {"name": "search_context", "arguments": {"query": words, "max_chunks": 50}}}
        ways = [host.post("/v1/context/batch", {"queries": [words, {"query": words, "cache": "bypass"}]}, bearer(key)),
                host.post("/mcp", called, {"Accept": "application/json, text/event-stream", **bearer(key)}),
                host.post("/v1/vector_stores/docs/search", {"query": words}, bearer(key)),
                host.get("/v1/context?format=prompt&q=" + quote(words), bearer(key)),
                host.post("/v1/context", {"query": words, "filter": {"tenant": {"ne": secret}}}, bearer(key)),
                host.post("/v1/context", {"query": words, "filter": {"tenant": 7, "colour": {"like": 1}}}, bearer(key)),
                host.get("/v1/documents", bearer(key)), host.get("/metrics", bearer(key)), host.get("/v1/stats", bearer(key)),
                host.get("/v1/cache", bearer(key)), host.get("/v1/history", bearer(key)), host.get("/v1/jobs", bearer(key))]
        assert [way.status for way in ways[:5]] == [200] * 5 and ways[5].status == 422, ways
        assert sum(secret in way.body.decode() for way in ways) >= 5, ways
        for way in ways:
            assert not any(other in way.body.decode() for other in {*secrets.values(), "walruses"} - {secret}), way


def test_a_list_tells_a_tenant_nothing_of_others(kept):
    assert put(kept, BETA, *[{"id": f"patient-{i}", "content": f"Patient file {i}.", "metadata": {"patient": "John"}}
                             for i in range(8)]).status == 200
    assert put(kept, ACME, *[{"id": f"acme-patient-{i}", "content": f"Case {i}.", "metadata": {"patient": "Ann"}}
                             for i in range(3)]).status == 200

    def listed(name, limit, cursor=""):
        wanted = quote(json.dumps({"patient": name}))
        answer = kept.get(f"/v1/documents?limit={limit}&filter={wanted}&cursor={quote(cursor)}", bearer(ACME))
        assert answer.status == 200, answer
        return answer.json

    for limit in (1, 3, 100):
        assert listed("John", limit) == listed("Nobody", limit) == {"documents": []}
    found, cursor = [], ""
    while cursor is not None:
        page = listed("Ann", 1, cursor)
        found += [document["id"] for document in page["documents"]]
        cursor = page.get("next_cursor")
    assert sorted(found) == [f"acme-patient-{i}" for i in range(3)]
    gone = kept.request("DELETE", "/v1/documents?filter=" + quote('{"patient": "John"}'), headers=bearer(ACME))
    assert gone.status == 200 and gone.json == {"documents": 0, "chunks": 0}
    gone = kept.request("DELETE", "/v1/documents?filter=" + quote('{"patient": "John"}'), headers=bearer(BETA))
    assert gone.status == 200 and gone.json["documents"] == 8
    gone = kept.request("DELETE", "/v1/documents?filter=" + quote('{"patient": "Ann"}'), headers=bearer(ACME))
    assert gone.status == 200 and gone.json["documents"] == 3


def test_documents_without_ids_do_not_meet(kept):
    text = {"content": "The same words from both of them, word for word."}
    assert put(kept, ACME, text).json["documents"] == 1
    assert put(kept, BETA, text).json["documents"] == 1
    assert len(search(kept, READER, "same words from both")["chunks"]) >= 1
    assert len(search(kept, ACME, "same words from both")["chunks"]) == 1


def test_what_tells_about_everybody_is_refused_to_tenants(kept):
    for path in ("/metrics", "/v1/stats", "/v1/health"):
        assert kept.get(path, bearer(ACME)).status == 403
        assert kept.get(path, bearer(READER)).status == 200


def test_a_key_may_be_confined_to_pipelines(kept):
    answer = kept.get("/v1/context?q=a", bearer(NARROW))
    assert answer.status == 403 and answer.json["field"] == "pipeline"


def test_a_rate_is_kept(kept):
    statuses = [kept.get("/v1/context?q=a", bearer(SLOW)) for _ in range(4)]
    assert [answer.status for answer in statuses[:2]] == [200, 200]
    assert 429 in [answer.status for answer in statuses[2:]]
    refused = next(answer for answer in statuses if answer.status == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 4
    assert kept.get("/v1/context?q=a", bearer(READER)).status == 200


def wait_for(condition):
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def replace(path, text):
    (path.parent / "new").write_text(text)
    os.replace(path.parent / "new", path)


def test_keys_change_while_the_host_runs(kept, keys_file):
    replace(keys_file, keys_text() + group("late", "rgf_late"))
    wait_for(lambda: kept.get("/v1/context?q=a", bearer("rgf_late")).status == 200)
    replace(keys_file, keys_text() + "[broken]\nsha256 = 12\nscope = read\n")
    wait_for(lambda: "[broken]: 'sha256' must be 64 hexadecimal digits" in kept.log())
    assert "[broken]: unknown key 'scope'" in kept.log()
    assert kept.get("/v1/context?q=a", bearer("rgf_late")).status == 200  # those from before stay
    replace(keys_file, keys_text())
    wait_for(lambda: kept.get("/v1/context?q=a", bearer("rgf_late")).status == 401)
    assert kept.get("/v1/context?q=a", bearer(READER)).status == 200


def test_a_key_revoked_under_load_ends_at_once_and_breaks_nothing(kept, keys_file):
    replace(keys_file, keys_text() + group("late", "rgf_late"))
    wait_for(lambda: kept.get("/v1/context?q=a", bearer("rgf_late")).status == 200)
    seen, stop = [set() for _ in range(8)], threading.Event()

    def ask(statuses):
        while not stop.is_set():
            statuses.add(kept.get("/v1/context?q=a", bearer("rgf_late")).status)

    threads = [threading.Thread(target=ask, args=(statuses,)) for statuses in seen]
    for thread in threads:
        thread.start()
    replace(keys_file, keys_text())
    wait_for(lambda: kept.get("/v1/context?q=a", bearer("rgf_late")).status == 401)
    stop.set()
    for thread in threads:
        thread.join()
    assert set.union(*seen) <= {200, 401}


def test_writes_are_in_the_audit_log_and_keys_are_nowhere(kept):
    assert put(kept, WRITER, {"id": "audited", "content": "Who wrote this?"}).status == 200
    log = kept.log()
    assert "audit: key writer from 127.0.0.1: POST /v1/documents: 200" in log
    assert "audit: key writer from 127.0.0.1: DELETE /v1/documents/w: 200" in log
    for key in (ADMIN, READER, WRITER, ACME, BETA):
        assert key not in log
        assert hashlib.sha256(key.encode()).hexdigest() not in log


@pytest.mark.parametrize("text, words", [
    ("[a]\n", "[a]: 'sha256' is missing"),
    ("[a]\nsha256 = " + "0" * 64 + "\nscopes = raed\n", "unknown scope 'raed'"),
    ("[a]\nsha256 = " + "0" * 64 + "\nfilter = {\n", "'filter' is not JSON"),
    ("[a]\nsha256 = " + "0" * 64 + "\nfilter = {}\n", "has no condition"),
    ("[a]\nsha256 = " + "0" * 64 + "\nscopes = admin\nfilter = {\"t\": 1}\n", "'admin' sees everything"),
    ("[a]\nsha256 = " + "0" * 64 + "\nscopes = write\nfilter = {\"t\": {\"gt\": 1}}\n", "plain values"),
    ("[a]\nsha256 = " + "0" * 64 + "\nrate = -1\nburst = 1.5\nexpires = soon\n", "'burst' must be a whole number"),
    ("[a]\nsha256 = " + "0" * 64 + "\n[b]\nsha256 = " + "0" * 64 + "\n", "[b]: has the same 'sha256' as [a]"),
    ("not a key file", "keys"),
    (None, "keys"),
])
def test_a_file_that_cannot_be_used_is_refused_at_start(tmp_path, text, words):
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
    host = Host(tmp_path, embedded_config(http=f"api-keys-file = {path}", embed=False))
    command = [host_executable(), "--config", host.config_path, "--state-dir", host.state, "--plugin-dir", host.plugins()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 78
    assert words in ended.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--scopes", "wirte"], "unknown scope 'wirte'"), (["--filter", "tenant=acme"], "not JSON"), (["--filter", "[1]"], "expected an object"),
    (["--scopes", "admin", "--filter", '{"tenant": "a"}'], "admin"),
    (["--scopes", "write", "--filter", '{"year": {"gte": 2020}}'], "plain values"), (["--rate", "0"], "above 0"), (["--rate=-5"], "above 0"),
    (["--rate", "inf"], "above 0"), (["--rate", "nan"], "above 0"), (["--expires", "tomorrow"], "2027-01-31"),
    (["--scopes", "read\n[evil]"], "line break")])
def test_ragify_ctl_writes_nothing_that_the_host_would_refuse(tmp_path, arguments, words):
    """A file with a mistake in it would keep the host from starting."""
    file = tmp_path / "keys"
    file.write_text("")
    tool = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"
    done = subprocess.run([tool, "keys", "new", "made", "--file", file, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and words in done.stderr and done.stdout == "", done
    assert file.read_text() == ""


def test_rates_are_written_as_the_host_reads_them(tmp_path):
    tool = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"
    for name, rate in (("quick", "999999"), ("slow", "0.25")):
        subprocess.run([tool, "keys", "new", name, "--rate", rate, "--file", tmp_path / "keys"], capture_output=True, check=True)
    assert "rate = 999999\n" in (tmp_path / "keys").read_text() and "rate = 0.25\n" in (tmp_path / "keys").read_text()


def test_ragify_ctl_makes_keys(kept, keys_file):
    tool = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"
    command = [tool, "keys", "new", "made", "--scopes", "write", "--filter", '{"tenant": "made"}', "--file", keys_file]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    key = made.stdout.strip()
    assert key.startswith("rgf_") and len(key) == 47 and key not in keys_file.read_text()
    wait_for(lambda: kept.get("/v1/context?q=a", bearer(key)).status == 200)
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1  # the name is taken
    environment = {**os.environ, "RAGIFY_URL": kept.address, "RAGIFY_API_KEY": key}
    listed = subprocess.run([tool, "documents", "list", "--json"], capture_output=True, text=True, check=True,
                            env=environment)
    assert json.loads(listed.stdout)["documents"] == []
    refused = subprocess.run([tool, "query", "a"], capture_output=True, text=True, check=False,
                             env={**environment, "RAGIFY_API_KEY": "rgf_wrong"})
    assert refused.returncode == 1 and "no such API key" in refused.stderr
