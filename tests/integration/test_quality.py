"""SciFact through the real model and the host's API, judged by ragify-eval.

The quick test takes every document that a judgment names and others up to 400, since sanitized kernels are slow; the long
one takes the whole collection and the bounds that the project has set itself."""

import json
import subprocess

import pytest

from conftest import build_dir, models_dir, test_data

SAMPLE = 400


def judged_folder(tmp_path, limit):
    """A BEIR folder with all queries and judgments of SciFact and `limit` of its documents."""
    source = test_data("ir", "scifact")
    if limit is None:
        return source
    judged = {line.split("\t")[1] for line in (source / "qrels.tsv").read_text().splitlines()[1:]}
    lines = (source / "corpus.jsonl").read_text().splitlines()
    chosen = [line for line in lines if json.loads(line)["_id"] in judged]
    chosen += [line for line in lines if json.loads(line)["_id"] not in judged][:max(0, limit - len(chosen))]
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text("\n".join(chosen) + "\n")
    for name in ("queries.jsonl", "qrels.tsv"):
        (folder / name).write_text((source / name).read_text())
    return folder


def evaluate(host, folder):
    command = [build_dir() / "tools" / "ragify-eval" / "ragify-eval", "--url", f"http://{host.address.removeprefix('http://')}",
               "--json", folder]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=1700)
    return {name: mode["ndcg_10"] for name, mode in json.loads(run.stdout)["modes"].items()}


def check(make_host, folder, bounds):
    host = make_host(name="quality")
    found = evaluate(host, folder)
    host.stop()
    assert {mode: value for mode, value in found.items() if value < bounds[mode]} == {}, found


@pytest.mark.skipif(models_dir() is None, reason="no model")
def test_scifact_sample(make_host, tmp_path):
    check(make_host, judged_folder(tmp_path, SAMPLE), {"dense": 0.75, "lexical": 0.75, "hybrid": 0.80})


@pytest.mark.long
@pytest.mark.skipif(models_dir() is None, reason="no model")
def test_scifact_whole(make_host, tmp_path):
    check(make_host, judged_folder(tmp_path, None), {"dense": 0.642, "lexical": 0.680, "hybrid": 0.730})
