"""Plugins that break the contract, inside the real host and over HTTP: the host survives each misdeed, names the culprit, and the rest
of the pipeline answers."""

import re
import time

import pytest
from conftest import Host, build_dir, embedded_config

# component: what the log or the answer must say of it, or None where its misdeed does no harm and is only counted or ignored
MISDEEDS = {
    # evil-calls: in its life and its calls
    "done-twice": "completed a call a second time",
    "done-then-failed": "completed a call a second time",
    "completes-no-call": None,
    "done-never": "no answer within its deadline",
    "done-late": "no answer within its deadline",
    "done-elsewhere": None,
    "done-inline": None,
    "done-inline-on-loop": None,
    "leaves-a-thread": None,
    "sleeps-on-worker": "no answer within its deadline",
    "fails-with-success": "all is well",
    "fails-with-unknown-code": "minus nine hundred",
    "fails-with-broken-text": "query: ",
    "fails-with-long-text": "xxx",
    "fails-without-text": "without saying why",
    "emits-after-done": None,
    "emits-without-size": "without a size",
    "emits-broken-text": "not UTF-8",
    "emits-without-end": "emitted|no answer within its deadline",
    "uses-after-done": None,
    "takes-all-memory": "no more memory is given|no answer within its deadline",
    "takes-impossible-memory": "that much is not given",
    "create-refused": "the moon is in the wrong place",
    "create-refused-silently": "did not say why",
    "create-nothing": "did not say why",
    "create-asks-foreign-keys": None,
    "create-logs-garbage": None,
    "start-fails": "the door is locked",
    # evil-results: in what it answers
    "nan-score": "not finite",
    "infinite-score": "not finite",
    "relevance-of-2": "outside 0..1",
    "broken-text": "not UTF-8",
    "text-without-data": "not UTF-8",
    "small-chunk": "too small for its version",
    "small-stride": "cannot be",
    "odd-stride": "cannot be",
    "more-than-asked": None,
    "items-of-null": "cannot be",
    "no-result": "without a result",
    "result-of-no-size": "no size",
    "result-of-a-later-version": None,
}
REFUSED_AT_START = {"create-refused", "create-refused-silently", "create-nothing", "start-fails"}
REFUSED_MODULES = {
    "wrong-magic": "magic 464c457f", "wrong-major": "needs plugin ABI 2.0", "newer-minor": "needs plugin ABI 1.99",
    "short-plugin": "16 bytes", "no-id": "lacks an id", "no-components": "components", "short-component": "40 bytes",
    "no-name": "has no name", "unknown-kind": "ragify.oracle/7", "unknown-run-class": "run class 77",
    "no-create": "lacks one of create", "no-operations": "no operations", "short-operations": "lacks the operation 'query'",
    "null-method": "lacks the operation 'query'", "reserved-key": "reserved", "no-entry": "no symbol ragify_plugin_query",
    "unresolved-symbol": "ragify_symbol_that_nobody_has", "query-gives-null": "returned nothing",
}


def evil_folder():
    return build_dir() / "tests" / "evil"


@pytest.fixture(scope="module")
def evil_host(tmp_path_factory):
    """One host with a pipeline for each misdeed: the innocent words beside one culprit."""
    nodes, pipelines = [], []
    for name, phrase in MISDEEDS.items():
        deadline = "300ms" if "no answer within its deadline" in (phrase or "") else "60s"
        nodes.append(f"[source {name}]\nplugin = {name}\ndeadline = {deadline}\nmax-abandoned = 4\nretry = 0\nbreaker-failures = 0\n")
        pipelines.append(f"[pipeline with-{name}]\nretrieve = words; {name}\ndeadline = 60s\n")
    config = embedded_config(embed=False, extra="\n".join(nodes + pipelines))
    host = Host(tmp_path_factory.mktemp("evil"), config)
    for module in ["evil-calls", "evil-results"] + [f"evil-entry-{name}" for name in REFUSED_MODULES]:
        (host.plugins() / f"{module}.so").symlink_to(evil_folder() / f"{module}.so")
    host.start()
    host.ingest([{"id": "one", "content": "The heron stands in shallow water."}])
    yield host
    # Threads that it left in plugins are not waited for, and the host says so; its exit is in order all the same.
    host.stop()


@pytest.mark.parametrize("name", MISDEEDS)
def test_the_rest_answers_and_the_culprit_is_named(evil_host, name):
    answer = evil_host.context(query=f"heron {name}", pipeline=f"with-{name}")
    assert answer.status == 200, answer
    assert [chunk["document_id"] for chunk in answer.json["chunks"] if chunk["document_id"] == "one"], answer
    phrase = MISDEEDS[name]
    if phrase is None:
        assert answer.json["sources"].get(name, {}).get("status") == "ok", answer
        return
    phrases = "|".join(re.escape(text) for text in phrase.split("|"))
    until = time.monotonic() + 180  # what it does after its answer is said after it
    while not re.search(f"{re.escape(name)}.*(?:{phrases})", str(answer.json["warnings"]) + evil_host.log()):
        assert time.monotonic() < until, (phrase, answer)
        time.sleep(0.05)
    if phrase != "completed a call a second time" and name not in REFUSED_AT_START:
        assert answer.json["degraded"]
        assert answer.json["sources"][name]["status"] != "ok"
    # And the host itself is as well as before.
    assert evil_host.context(query="heron in the water").status == 200


@pytest.mark.parametrize("name", REFUSED_MODULES)
def test_a_wrong_module_is_named_and_the_host_starts_without_it(evil_host, name):
    assert re.search(rf"evil-entry-{name}\.so: not loaded: .*{re.escape(REFUSED_MODULES[name])}", evil_host.log())


def test_at_least_25_misdeeds_are_survived():
    assert len([name for name, phrase in MISDEEDS.items() if phrase is not None]) + len(REFUSED_MODULES) >= 25
