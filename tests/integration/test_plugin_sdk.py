"""The SDK as an author meets it: installed by itself, somewhere outside the tree; projects of every kind and language are made,
built and held against the contract, and the guide's own commands are run."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from conftest import ROOT, Host, build_dir

KINDS = ["source", "cache", "vector-store", "text-index", "embedder", "reranker", "extractor"]
MODULES = {"source": "source", "cache": "cache", "vector-store": "store", "text-index": "text", "embedder": "embed",
           "reranker": "rerank", "extractor": "extract"}


@pytest.fixture(scope="session")
def sdk(tmp_path_factory):
    """The environment of a machine on which the SDK alone is installed."""
    root = tmp_path_factory.mktemp("sdk")
    done = subprocess.run(["meson", "install", "-C", build_dir(), "--no-rebuild", "--tags", "devel", "--destdir", root],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pc = next(root.rglob("ragify-plugin-sdk.pc"))
    prefix = re.search(r"^prefix=(.*)$", pc.read_text(), re.M).group(1)
    installed = pathlib.Path(f"{root}{prefix}")
    pc.write_text(re.sub(r"^prefix=.*$", f"prefix={installed}", pc.read_text(), flags=re.M))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAGIFY_", "PKG_CONFIG"))}
    environment["PATH"] = f"{installed / 'bin'}:{build_dir() / 'core'}:{build_dir() / 'tools' / 'ragify-inspect'}:{environment['PATH']}"
    environment["PKG_CONFIG_PATH"] = str(pc.parent)
    environment["installed"] = str(installed)
    return environment


def run(sdk, folder, *command):
    done = subprocess.run(command, cwd=folder, env=sdk, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def make_project(sdk, folder, kind, language, name="heron"):
    run(sdk, folder, "ragify-new-plugin", name, "--kind", kind, "--lang", language)
    return folder / f"{MODULES[kind]}-{name}"


def test_the_sdk_is_headers_tools_and_templates_and_nothing_else(sdk):
    installed = pathlib.Path(sdk["installed"])
    names = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    outside = {name for name in names if not name.startswith(("include/ragify/", "share/ragify/plugin-template/")) and
               not name.endswith("ragify-plugin-sdk.pc")}
    assert outside == {"bin/ragify-new-plugin", "bin/ragify-plugin-test"}
    assert {f"include/ragify/{path.name}" for path in (ROOT / "plugin-sdk/include/ragify").glob("*.h")} <= names
    plugindir = run(sdk, "/", "pkg-config", "--variable=plugindir", "ragify-plugin-sdk").strip()
    assert plugindir == str(installed / pathlib.Path(plugindir).relative_to(installed))
    assert plugindir.endswith("ragify/plugins")


@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_project_builds_and_conforms(sdk, tmp_path, kind, language):
    if not (ROOT / "plugin-sdk" / "template" / f"{kind}.{'c' if language == 'c' else 'cc'}.in").exists():
        pytest.fail(f"no template of {kind} in {language}")
    project = make_project(sdk, tmp_path, kind, language)
    run(sdk, project, "meson", "setup", "build", "-Dwerror=true")
    run(sdk, project, "meson", "test", "-C", "build", "--print-errorlogs")
    run(sdk, project, "meson", "install", "-C", "build", "--destdir", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*.so")] == [f"{MODULES[kind]}-heron.so"]


def test_a_new_project_in_rust_builds_and_conforms(sdk, tmp_path):
    if shutil.which("rustc") is None:
        pytest.skip("rustc is not installed")
    project = make_project(sdk, tmp_path, "source", "rust")
    run(sdk, project, "meson", "setup", "build")
    run(sdk, project, "meson", "test", "-C", "build", "--print-errorlogs")
    asked = ask_host(project, tmp_path)
    assert [chunk["content"] for chunk in asked["chunks"]] == ["The heron stands in the shallow water."]


def ask_host(project, folder):
    """What a real host with this plugin answers."""
    config = f"[http public]\nlisten = 127.0.0.1:0\n[source notes]\nplugin = heron\nfile = {project / 'example.txt'}\n" \
             "score = source\n[pipeline default]\nretrieve = notes\n"
    host = Host(folder / "host", config)
    (host.plugins() / "source-heron.so").symlink_to(project / "build" / "source-heron.so")
    host.start()
    try:
        return host.context(query="shallow water heron", max_chunks=1).json
    finally:
        host.stop()


def test_a_new_source_answers_in_a_host(sdk, tmp_path):
    project = make_project(sdk, tmp_path, "source", "c")
    run(sdk, project, "meson", "setup", "build")
    run(sdk, project, "meson", "compile", "-C", "build")
    answer = ask_host(project, tmp_path)
    assert [chunk["content"] for chunk in answer["chunks"]] == ["The heron stands in the shallow water."]
    assert not answer["degraded"]


def test_templates_are_short():
    """A person reads one in a few minutes. The store, with six operations and durability, is the exception."""
    for path in sorted((ROOT / "plugin-sdk" / "template").glob("*.in")):
        if path.name.endswith((".c.in", ".cc.in")) and not path.name.startswith("vector-store"):
            assert len(path.read_text().splitlines()) < 150, path


@pytest.mark.parametrize("arguments, message", [
    (["Heron", "--kind", "source"], "NAME: expected [a-z][a-z0-9-]*, found 'Heron'"),
    (["heron", "--kind", "oracle"], "invalid choice: 'oracle'"),
    (["heron", "--kind", "cache", "--lang", "rust"], "there is a template for --kind source only"),
    (["heron", "--kind", "cache", "--id", "no dots"], "--id: expected a reverse DNS name"),
])
def test_a_wrong_command_line_is_refused(sdk, tmp_path, arguments, message):
    done = subprocess.run(["ragify-new-plugin", *arguments], cwd=tmp_path, env=sdk, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(sdk, tmp_path):
    (tmp_path / "source-heron").mkdir()
    (tmp_path / "source-heron" / "mine").write_text("mine")
    done = subprocess.run(["ragify-new-plugin", "heron", "--kind", "source"], cwd=tmp_path, env=sdk, capture_output=True,
                          text=True, check=False)
    assert done.returncode != 0 and "is there and not empty" in done.stderr
    assert [path.name for path in (tmp_path / "source-heron").iterdir()] == ["mine"]


def test_the_guide_s_commands_work(sdk, tmp_path):
    """As a new author would: in an empty folder, with the SDK and a host."""
    guide = (ROOT / "docs" / "plugin-guide.md").read_text()
    blocks = re.findall(r"<!-- run -->\n```sh\n(.*?)```", guide, re.S)
    assert len(blocks) >= 2
    script = "set -euo pipefail\n" + "".join(blocks)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=sdk, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
