"""The retrievers in docs/examples, with the real packages of LangChain and LlamaIndex.

LlamaIndex's packages are many, and have a Python of their own. RAGIFY_LANGCHAIN_PYTHON and RAGIFY_LLAMAINDEX_PYTHON name others.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import ROOT

EXAMPLES = ROOT / "docs" / "examples"
PYTHONS = {"langchain": pathlib.Path(os.environ.get("RAGIFY_LANGCHAIN_PYTHON", sys.executable)),
           "llamaindex": pathlib.Path(os.environ.get("RAGIFY_LLAMAINDEX_PYTHON", ROOT / ".deps/python-llamaindex/bin/python"))}
PROGRAMS = {
    "langchain": """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
from langchain_core.runnables import RunnableLambda
from langchain_retriever import RagifyRetriever
retriever = RagifyRetriever(url=sys.argv[2], api_key=sys.argv[3] or None, request=json.loads(sys.argv[4]))
found = retriever.invoke(sys.argv[5])
chain = retriever | RunnableLambda(lambda documents: len(documents))
assert chain.invoke(sys.argv[5]) == len(found)
assert len(asyncio.run(retriever.ainvoke(sys.argv[5]))) == len(found)
print(json.dumps([[one.metadata["document_id"], one.page_content, one.metadata["relevance_score"], one.metadata] for one in found]))
""",
    "llamaindex": """
import json, sys
sys.path.insert(0, sys.argv[1])
from llamaindex_retriever import RagifyRetriever
retriever = RagifyRetriever(sys.argv[2], sys.argv[3] or None, **json.loads(sys.argv[4]))
found = retriever.retrieve(sys.argv[5])
print(json.dumps([[one.node.metadata["document_id"], one.node.get_content(), one.score, one.node.metadata] for one in found]))
""",
}


@pytest.fixture(scope="module")
def host(make_host, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"[app]\nsha256 = {hashlib.sha256(b'rgf_app').hexdigest()}\nscopes = admin\n")
    host = make_host(name="frameworks", embed=False, http=f"api-keys-file = {keys}")
    answer = host.post("/v1/documents", {"documents": [
        {"id": f"tides-{i}", "content": f"Tides of day {i} come and go.", "uri": f"http://a/{i}", "metadata": {"day": i}}
        for i in range(5)]}, {"Authorization": "Bearer rgf_app"})
    assert answer.status == 200
    return host


def retrieve(framework, host, request, query, key="rgf_app"):
    environment = dict(os.environ, LANGSMITH_TRACING="false", NLTK_DATA="/nonexistent", TIKTOKEN_CACHE_DIR="/nonexistent")
    return subprocess.run([PYTHONS[framework], "-c", PROGRAMS[framework], EXAMPLES, host.address, key, json.dumps(request), query],
                          capture_output=True, text=True, check=False, env=environment, timeout=300)


@pytest.fixture(params=list(PYTHONS))
def framework(request):
    return request.param


def test_the_example_finds_what_the_host_finds(host, framework):
    done = retrieve(framework, host, {"max_chunks": 3, "filter": {"day": {"gte": 1}}}, "tides of day 3")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = host.post("/v1/context", {"query": "tides of day 3", "max_chunks": 3, "filter": {"day": {"gte": 1}}},
                         {"Authorization": "Bearer rgf_app"}).json["chunks"]
    assert [one[0] for one in found] == [chunk["document_id"] for chunk in expected] and len(found) == 3
    assert found[0][0] == "tides-3" and found[0][1] == "Tides of day 3 come and go."
    assert [one[2] for one in found] == [chunk["relevance_score"] for chunk in expected]
    assert found[0][3]["day"] == 3 and found[0][3]["source"] == "http://a/3"


def test_refusals_reach_the_caller(host, framework):
    done = retrieve(framework, host, {}, "tides", key="")
    assert done.returncode != 0 and "401" in done.stderr
    done = retrieve(framework, host, {"max_chunks": 0}, "tides")
    assert done.returncode != 0 and "422" in done.stderr


def test_the_examples_are_short():
    for name in ("langchain", "llamaindex"):
        text = (EXAMPLES / f"{name}_retriever.py").read_text()
        assert len([line for line in text.splitlines() if line.strip()]) <= 25
