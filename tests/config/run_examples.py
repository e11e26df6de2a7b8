#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs config/examples for real: starts the host with each, gives it a document, asks for it, stops it.

run_examples.py HOST PLUGIN_FOLDERS EXAMPLES_FOLDER MODELS_FOLDER; prints TAP. Examples that need a
model are skipped where it is not there.
"""
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

TEXT = "The turbine on the north ridge was repaired in May. Its gearbox had been leaking oil since winter."
QUERY = "When was the turbine on the north ridge repaired?"

# name, store to ingest into (None: the text is a file of the source), pipeline, [http] group, needs a model
EXAMPLES = [
    ("folder-search", None, "default", "local", False),
    ("folder-sync", None, "default", "local", False),
    ("words-only", "docs", "default", "local", False),
    ("shared-cache", "docs", "default", "local", False),
    ("tenants", "common-docs", "acme", "local", False),
    ("documents-and-notes", "docs", "default", "local", True),
    ("several-collections", "support-docs", "support", "local", True),
    ("agent-memory", "memory", "default", "local", True),
    ("low-memory", "docs", "default", "local", True),
]


def request(address, method, path, body):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, f"{method} {path}: {answer.status} {text}"
    return json.loads(text)


def address_of(host):
    """The address that the host says it listens on."""
    said = []
    for line in host.stdout:
        said.append(line)
        if "listening on http://" in line:
            return line.split("listening on http://")[1].strip()
    raise AssertionError("the host ended:\n" + "".join(said))


def run(example, host_path, plugin_folders, examples, models, state):
    name, store, pipeline, listener, _ = example
    notes = os.path.join(state, "notes")
    os.mkdir(notes)
    with open(os.path.join(notes, "turbine.md"), "w", encoding="utf-8") as file:
        file.write(TEXT + "\n")
    settings = [f"host.plugin-dir={plugin_folders}", f"host.models-dir={models}", f"host.state-dir={state}",
                f"http {listener}.listen=127.0.0.1:0"]
    if name in ("folder-search", "documents-and-notes"):
        settings.append(f"source notes.root={notes}")
    if name == "folder-sync":
        settings.append(f"ingest handbook.root={notes}")
    command = [host_path, "--config", os.path.join(examples, name + ".conf")]
    for setting in settings:
        command += ["--set", setting]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as host:
        try:
            address = address_of(host)
            if store is not None:
                request(address, "POST", f"/v1/documents?store={store}", {"id": "turbine", "content": TEXT})
            answer = request(address, "POST", "/v1/context", {"query": QUERY, "pipeline": pipeline})
            for _ in range(600 if name == "folder-sync" else 0):  # the job is at work meanwhile
                if answer["chunks"]:
                    break
                time.sleep(0.1)
                answer = request(address, "POST", "/v1/context", {"query": QUERY, "pipeline": pipeline})
            assert any("gearbox" in chunk["content"] for chunk in answer["chunks"]), json.dumps(answer)
            assert not answer["degraded"], json.dumps(answer)
        finally:
            host.send_signal(signal.SIGTERM)
            rest = host.stdout.read()
        assert host.wait(60) == 0, f"exit status {host.returncode}\n{rest}"


def main():
    host_path, plugin_folders, examples, models = sys.argv[1:5]
    failed = 0
    print(f"1..{len(EXAMPLES)}")
    for number, example in enumerate(EXAMPLES, 1):
        if example[4] and not os.path.isfile(os.path.join(models, "fast", "model.safetensors")):
            print(f"ok {number} - {example[0]} # SKIP no model in {models}")
            continue
        with tempfile.TemporaryDirectory(prefix="ragify-example-") as state:
            try:
                run(example, host_path, plugin_folders, examples, models, state)
                print(f"ok {number} - {example[0]}", flush=True)
            except (AssertionError, OSError, http.client.HTTPException) as error:
                failed += 1
                print(f"not ok {number} - {example[0]}", flush=True)
                for line in str(error).splitlines():
                    print("# " + line)
    return 1 if failed else 0


sys.exit(main())
