"""Models of this machine: `ragify-ctl models`, the model `accurate` by its folder, and rerank-local, each through the real programs."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT, Host, build_dir, embedded_config, models_dir

sys.path.insert(0, str(ROOT / "tests" / "common"))
import model_folder  # noqa: E402

real_model = pytest.mark.skipif(models_dir() is None, reason="no model")
OK, FAILED, USAGE = 0, 1, 2
INT8_KERNELS = ("amxint8", "avx512vnni", "avxvnni", "avx2int8", "portableint8")

DOCUMENTS = {
    "lease": "The lease of the house ends in March of next year, as agreed with the owner.",
    "cats": "Cats sleep in the house most of the day.",
    "port": "The lighthouse at the harbour was built of granite in 1903.",
    "bread": "Knead the dough for ten minutes and let it rise until it has doubled.",
    "bees": "A bee tells its hive by a dance where the flowers are.",
}


def control(*arguments, expect=OK, program=None, **environment):
    program = program or build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"
    done = subprocess.run([str(program), "models", *map(str, arguments)], capture_output=True, text=True, timeout=600,
                          env={**os.environ, **environment})
    assert done.returncode == expect, (arguments, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


def control_json(*arguments, **options):
    return json.loads(control(*arguments, "--json", **options).stdout)


@pytest.fixture
def models(tmp_path):
    """A folder of small models: an embedder, a cross-encoder, a broken one, and what is none."""
    folder = tmp_path / "models"
    model_folder.make(folder / "small", layers=2)
    model_folder.make(folder / "judge", labels=1)
    broken = model_folder.make(folder / "torn")
    (broken / "model.safetensors").write_bytes(b"torn")
    (folder / "notes").mkdir()
    (folder / "readme.txt").write_text("nothing")
    return folder


def write_collection(folder, queries):
    """queries: id → (text, the document that is judged relevant)."""
    folder.mkdir()
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": id, "title": "", "text": text}) + "\n"
                                                 for id, text in DOCUMENTS.items()))
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": id, "text": text}) + "\n"
                                                  for id, (text, _) in queries.items()))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" +
                                      "".join(f"{id}\t{document}\t1\n" for id, (_, document) in queries.items()))
    return folder


# ---- list ----

def test_what_is_there_is_listed_and_what_is_not_is_named(models):
    answer = control_json("list", "--models-dir", models)
    found = {model["name"]: model for model in answer["models"]}
    assert sorted(found) == ["judge", "small", "torn"]
    small = found["small"]
    assert (small["kind"], small["dimension"], small["layers"], small["max_tokens"]) == ("embedder", 48, 2, 128)
    assert small["fingerprint"].startswith("bert-2x48-mean-128-unit-float-") and small["problem"] is None
    assert small["size"] == (models / "small" / "model.safetensors").stat().st_size
    assert (found["judge"]["kind"], found["judge"]["fingerprint"]) == ("reranker", None)
    assert "model.safetensors" in found["torn"]["problem"] and found["torn"]["kind"] is None
    assert answer["absent"] == ["fast", "balanced", "accurate"]
    words = control("list", RAGIFY_MODELS_DIR=str(models)).stdout
    assert "torn cannot be used: " in words and "ragify-ctl models fetch balanced" in words
    assert "copy its folder to" in words and small["kernel"] in words


def test_a_folder_that_is_not_there_has_no_models(tmp_path):
    assert control_json("list", "--models-dir", tmp_path / "none")["models"] == []
    assert "expected list, fetch NAME or bench" in control("lists", expect=USAGE).stderr
    assert "fast or balanced" in control("fetch", expect=USAGE).stderr


# ---- fetch ----

@pytest.fixture
def installed(tmp_path):
    """ragify-ctl and its script where a package puts them, with no source tree around."""
    program = tmp_path / "usr" / "bin" / "ragify-ctl"
    script = tmp_path / "usr" / "share" / "ragify" / "fetch-model"
    for path in (program, script):
        path.parent.mkdir(parents=True)
    shutil.copy(build_dir() / "tools" / "ragify-ctl" / "ragify-ctl", program)
    shutil.copy(ROOT / "tools" / "fetch-model", script)
    return program


@real_model
def test_a_model_is_fetched_without_the_source_tree(installed, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(models_dir() / "fast", cache / "ragify" / "models" / "fast")
    answer = control_json("fetch", "fast", "--models-dir", tmp_path / "models", program=installed,
                          XDG_CACHE_HOME=str(cache))
    assert answer == {"name": "fast", "path": str(tmp_path / "models" / "fast")}
    listed = control_json("list", "--models-dir", tmp_path / "models", program=installed)
    assert [model["name"] for model in listed["models"]] == ["fast"] and listed["models"][0]["layers"] == 6
    with open(tmp_path / "models" / "fast" / "config.json", "a", encoding="utf-8") as file:
        file.write(" ")  # one byte more than what is pinned: it is fetched again
    control("fetch", "fast", "--models-dir", tmp_path / "models", program=installed, XDG_CACHE_HOME=str(cache))
    assert not (tmp_path / "models" / "fast" / "config.json").read_text().endswith(" ")


def test_what_cannot_be_fetched_is_said(installed, tmp_path):
    done = control("fetch", "accurate", "--models-dir", tmp_path, program=installed, expect=USAGE)
    assert "'accurate' cannot be fetched" in done.stderr and "copy its folder" in done.stderr
    assert "cannot be fetched, only fast and balanced" in control("fetch", "x/../y", "--models-dir", tmp_path,
                                                                  program=installed, expect=USAGE).stderr
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0", "PIP_NO_INDEX": "0"}
    done = control("fetch", "fast", "--no-cache", "--models-dir", tmp_path, program=installed, expect=FAILED, **offline)
    assert "offline?" in done.stderr or "pip is missing" in done.stderr
    assert not (tmp_path / "fast").exists()


# ---- bench ----

@real_model
def test_every_model_is_measured(models, tmp_path):
    (models / "fast").symlink_to(models_dir() / "fast")
    judged = write_collection(tmp_path / "judged", {"1": ("when does our tenancy run out", "lease"),
                                                    "2": ("how do bees show the way", "bees"),
                                                    "3": ("baking a loaf", "port")})
    done = control("bench", "--models-dir", models, "--judged", judged, "--threads", 2, "--json", expect=FAILED)
    assert "torn cannot be used" in done.stderr
    answer = json.loads(done.stdout)
    figures = {model["name"]: model for model in answer["models"]}
    assert sorted(figures) == ["fast", "judge", "small"] and (answer["threads"], answer["judged"]) == (2, str(judged))
    assert (figures["judge"]["kind"], figures["judge"]["ndcg_10"]) == ("reranker", None)
    assert figures["judge"]["passages_per_cpu_second"] > 0 and figures["judge"]["query_cpu_ms"] > 0
    fast = figures["fast"]
    assert 2 / 3 < fast["ndcg_10"] < 1, fast  # two are right, the third is judged wrongly
    assert (fast["passages"], fast["queries"], fast["truncated"]) == (5, 3, 0)
    assert all(fast[name] > 0 for name in ("load_ms", "query_cpu_ms", "passages_per_second", "passages_per_cpu_second"))
    assert fast["memory_mb"] > 3 * figures["small"]["memory_mb"]
    table = control("bench", "--model", models / "fast", "--judged", judged, "--documents", 4, "--kernel", "portable").stdout
    row = table.splitlines()[1].split()
    assert "fast: portable; 3 queries" in table
    assert row[0] == "fast" and f"{fast['ndcg_10']:.1f}"[:2] == row[-1][:2] and "4 passages" in table


def test_a_benchmark_without_texts_has_its_own(models):
    answer = control_json("bench", "--model", models / "small", "--threads", 1)
    assert answer["models"][0]["ndcg_10"] is None and answer["models"][0]["passages"] > 0
    assert "qrels.tsv" in control("bench", "--model", models / "small", "--judged", models, expect=USAGE).stderr
    done = control("bench", "--model", models / "small", "--kernel", "abacus", expect=FAILED)
    assert "kernel 'abacus' is not to be had" in done.stderr


def test_int8_is_measured_when_it_is_asked_for(models):
    kernels = {}
    for kind in ("small", "judge"):
        for precision in ("auto", "int8"):
            wanted = () if precision == "auto" else ("--precision", precision)
            model, = control_json("bench", "--model", models / kind, "--threads", 1, *wanted)["models"]
            assert model["passages"] > 0 and model["passages_per_cpu_second"] > 0
            kernels[kind, precision] = model["kernel"]
    assert kernels["small", "int8"] == kernels["judge", "int8"] in INT8_KERNELS
    assert kernels["small", "auto"] == kernels["judge", "auto"] not in INT8_KERNELS
    done = control("bench", "--model", models / "small", "--precision", "int8", "--kernel", "avx2", expect=FAILED)
    assert "precision 'int8' with kernel 'avx2' is not to be had" in done.stderr and "portableint8 (int8)" in done.stderr


@real_model
def test_int8_takes_less_memory_and_finds_the_same(models, tmp_path):
    judged = write_collection(tmp_path / "judged", {"1": ("when does our tenancy run out", "lease"),
                                                    "2": ("how do bees show the way", "bees")})
    fast = {precision: control_json("bench", "--model", models_dir() / "fast", "--judged", judged, "--threads", 1,
                                    "--precision", precision)["models"][0] for precision in ("fp32", "int8")}
    assert fast["int8"]["ndcg_10"] == fast["fp32"]["ndcg_10"] == 1
    assert fast["int8"]["memory_mb"] < fast["fp32"]["memory_mb"] - 20, fast  # 10.6 MB of weights instead of 42.5


# ---- models in a host ----

def test_the_accurate_model_is_a_folder_of_twelve_layers(make_host, tmp_path):
    model_folder.make(tmp_path / "accurate", layers=12, hidden=384, heads=12, intermediate=1536, positions=512)
    fingerprint = control_json("list", "--models-dir", tmp_path)["models"][0]["fingerprint"]
    assert fingerprint.startswith("bert-12x384-mean-512-")
    config = "\n".join(["[host]", "threads = 1", f"models-dir = {tmp_path}", "[http public]", "listen = 127.0.0.1:0",
                        "[embedder minilm]", "plugin = local", "select = accuracy", f"models-dir = {tmp_path}",
                        "[vector-store docs]", "plugin = faiss", "path = docs", "embedder = minilm",
                        "[pipeline default]", "retrieve = docs", "deadline = 20s", ""])
    host = make_host(config, name="accurate")
    host.ingest([{"id": id, "content": text} for id, text in list(DOCUMENTS.items())[:3]])
    answer = host.context(query=DOCUMENTS["cats"]).json
    assert answer["chunks"][0]["document_id"] == "cats" and answer["chunks"][0]["relevance_score"] > 0.999, answer


def test_a_store_takes_int8_or_the_others_and_never_both(make_host, tmp_path):
    model_folder.make(tmp_path / "small")

    def config(precision):
        return "\n".join(["[host]", "threads = 1", "[http public]", "listen = 127.0.0.1:0", "[embedder own]", "plugin = local",
                          f"model = {tmp_path / 'small'}", f"precision = {precision}", "[vector-store docs]", "plugin = faiss",
                          f"path = {tmp_path / 'docs'}", "embedder = own", "[pipeline default]", "retrieve = docs",
                          "deadline = 20s", ""])

    documents = [{"id": id, "content": text} for id, text in DOCUMENTS.items()]
    host = make_host(config("int8"), name="int8")
    host.ingest(documents)
    answer = host.context(query=DOCUMENTS["cats"]).json
    assert answer["chunks"][0]["document_id"] == "cats" and answer["chunks"][0]["relevance_score"] > 0.99, answer
    host.stop()
    refused = Host(tmp_path / "refused", config("fp32"))
    with pytest.raises(RuntimeError, match="bert-2x48-mean-128-int8-unit-float-.*bert-2x48-mean-128-unit-float-.*ragify-ctl reindex"):
        refused.start()
    again = make_host(config("int8"), name="again")
    assert again.context(query=DOCUMENTS["bees"]).json["chunks"][0]["document_id"] == "bees"


@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_a_cross_encoder_here_reranks(make_host, tmp_path, precision):
    model_folder.make(tmp_path / "judge", labels=1)
    extra = "\n".join(["[reranker cross]", "plugin = local", f"model = {tmp_path / 'judge'}", f"precision = {precision}",
                       "deadline = 20s", "[pipeline judged]", "retrieve = words", "rerank = cross", "deadline = 25s"])
    host = make_host(embedded_config(embed=False, extra=extra), name="cross")
    host.ingest([{"id": id, "content": text} for id, text in DOCUMENTS.items()])
    question = {"query": "the house at the harbour", "explain": True}
    plain = host.context(question).json
    judged = host.post("/v1/p/judged/context", question).json
    assert not judged["degraded"] and "rerank" in judged["explain"]["stages"]
    chunks = judged["chunks"]
    assert sorted(chunk["document_id"] for chunk in chunks) == sorted(chunk["document_id"] for chunk in plain["chunks"])
    assert all(chunk["score_kind"] == "reranker" and 0 < chunk["relevance_score"] < 1 for chunk in chunks)
    scores = [chunk["relevance_score"] for chunk in chunks]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
