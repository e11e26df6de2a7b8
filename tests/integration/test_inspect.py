"""ragify-inspect: the plugins that there are, those that are refused, and what a component's keys are."""

import json
import os
import pathlib
import subprocess

import pytest

from conftest import build_dir, host_executable

TOOL = build_dir() / "tools" / "ragify-inspect" / "ragify-inspect"
MODULES = sorted((build_dir() / "plugins").glob("*/*.so"))


def inspect(*arguments, paths=None, expect=0):
    places = [argument for path in (MODULES if paths is None else paths) for argument in ("--plugin-dir", str(path))]
    # A module that ends its process on purpose leaves behind what a leak checker would report.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0:handle_segv=0:handle_abort=0:allow_user_segv_handler=1"}
    result = subprocess.run([TOOL, *places, *arguments], capture_output=True, text=True, timeout=120,
                            env=environment, check=False)
    assert result.returncode == expect, (result.returncode, result.stdout, result.stderr)
    return result.stdout if expect == 0 or result.stdout else result.stderr


def test_every_plugin_that_ships_is_listed():
    text = inspect()
    assert all(str(module) in text for module in MODULES)
    assert f"{len(MODULES)} modules" in text and "0 not loaded" in text
    modules = json.loads(inspect("--json"))
    kinds = {component["kind"] for module in modules for component in module["components"]}
    assert {"ragify.source/1", "ragify.cache/1", "ragify.vector-store/1", "ragify.embedder/1"} <= kinds
    assert all(key["summary"] for module in modules for component in module["components"] for key in component["keys"])


def test_a_component_is_shown_with_its_keys():
    text = inspect("files")
    assert text.startswith("source files: ") and "root" in text and "; required" in text
    assert "Keys that every [source NAME] has:" in text and "deadline" in text
    assert inspect("source", "files") == text and inspect("source-files") == text
    assert json.loads(inspect("--json", "files"))["name"] == "files"
    said = inspect("filez", expect=1)
    assert "there is no component 'filez'; there are:" in said and "'source files'" in said


def test_modules_that_are_refused_do_not_harm_the_tool():
    evil = build_dir() / "tests" / "evil"
    paths = sorted(evil.glob("evil-entry*.so"))
    if not paths:
        pytest.skip("the evil plugins are not built")
    modules = {pathlib.Path(module["path"]).stem: module
               for module in json.loads(inspect("--json", "--failed", paths=paths, expect=1))}
    assert "ended by signal" in modules["evil-entry-crash-in-query"]["refusal"]
    assert "needs plugin ABI" in modules["evil-entry-newer-minor"]["refusal"]
    assert "no symbol ragify_plugin_query" in modules["evil-entry-no-entry"]["refusal"]
    text = inspect("--failed", paths=paths, expect=1)
    assert all(f"{name}.so\n  not loaded: " in text for name in modules)


def test_two_of_the_same_are_told_apart(tmp_path):
    copy = tmp_path / "zz-copy.so"
    copy.symlink_to(MODULES[0])
    text = inspect("--failed", paths=[MODULES[0], copy], expect=1)
    assert "is already loaded, from" in text and str(MODULES[0]) in text


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path):
    result = subprocess.run([TOOL, "--plugin-dir", str(tmp_path / "nowhere")], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "nowhere" in result.stderr


def test_what_is_no_module_is_refused(tmp_path):
    (tmp_path / "text.so").write_text("not a module")
    (tmp_path / "empty.so").write_text("")
    (tmp_path / "dangling.so").symlink_to(tmp_path / "gone")
    modules = json.loads(inspect("--json", paths=[tmp_path], expect=1))
    assert len(modules) == 3 and all("refusal" in module for module in modules)


@pytest.mark.parametrize("component", [(component["kind"].split(".")[1].split("/")[0], component["name"])
                                       for module in json.loads(inspect("--json"))
                                       for component in module["components"]], ids="-".join)
def test_a_stub_is_what_the_host_takes(component, tmp_path):
    kind, name = component
    stub = inspect("--stub", kind, name)
    assert f"[{kind} my-{name}]\nplugin = {name}\n" in stub
    config = tmp_path / "stub.conf"
    config.write_text(stub)
    plugins = ";".join(sorted({str(module.parent) for module in MODULES}))
    result = subprocess.run([host_executable(), "--check", "--config", str(config), "--set", f"host.plugin-dir={plugins}"],
                            capture_output=True, text=True, check=False, env={**os.environ, "SECRET": "x"})
    # What is missing is another node, or a folder or file that the example names; keys and values are right.
    wrong = [line for line in result.stderr.splitlines()
             if "error:" in line and ("unknown key" in line or "expected" in line)]
    assert not wrong, result.stderr
