"""Manual pages and completions: there for every tool and command, right by groff's rules, and of use in a real bash."""

import re
import shutil
import subprocess

import pytest

from conftest import ROOT, build_dir

FOLDER = build_dir() / "tools" / "manual"
PAGES = ["ragify-host.8"] + [f"ragify-{name}.1" for name in ("bench", "ctl", "eval", "inspect", "mcp", "new-plugin",
                                                            "plugin-test")]


def commands():
    """As the tool's source has them."""
    source = (ROOT / "tools" / "ragify-ctl" / "main.c").read_text()
    table = re.search(r"static const Command commands\[\] = \{(.*?)\n\};", source, re.DOTALL).group(1)
    return re.findall(r'\{ "([a-z]+)",', table)


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_right(page):
    text = (FOLDER / page).read_text()
    for section in (".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH SEE ALSO"):
        assert section in text or (section == ".SH OPTIONS" and page == "ragify-bench.1")
    assert ".SH EXIT STATUS" in text or page == "ragify-new-plugin.1"
    if shutil.which("mandoc"):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", FOLDER / page], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-Kutf8", FOLDER / page], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout) > 500


def test_every_tool_that_is_installed_has_a_page():
    source = "".join(path.read_text() for path in (ROOT / "tools").glob("*/meson.build")) + (ROOT / "tools/meson.build").read_text()
    installed = set(re.findall(r"executable\('(ragify-[a-z-]+)'(?:(?!executable).)*?install: true", source, re.DOTALL))
    assert installed and installed | {"ragify-host", "ragify-new-plugin"} == {page.rsplit(".", 1)[0] for page in PAGES}


def test_every_command_is_in_the_page_and_in_the_completions():
    page = (FOLDER / "ragify-ctl.1").read_text()
    bash, zsh, fish = ((FOLDER / name).read_text() for name in ("ragify-ctl", "_ragify-ctl", "ragify-ctl.fish"))
    assert len(commands()) >= 11
    for command in commands():
        assert f".SS {command}\n" in page, command
        assert re.search(rf"^    {command}\) ", bash, re.MULTILINE), command
        assert re.search(rf"^        {command}\) ", zsh, re.MULTILINE), command
        assert f"-a {command} " in fish, command
        tool = build_dir() / "tools" / "ragify-ctl" / "ragify-ctl"
        usage = subprocess.run([tool, command, "--help"], capture_output=True, text=True, check=True).stdout
        for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", usage, re.MULTILINE):
            assert option in bash and option.replace("-", "\\-") in page, (command, option)


def complete(*words):
    """What bash offers for the last of the words."""
    script = (f"source {FOLDER / 'ragify-ctl'}; COMP_WORDS=({' '.join(repr(word) for word in words)}); "
              f"COMP_CWORD={len(words) - 1}; _ragify_ctl; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    done = subprocess.run(["bash", "--norc", "-ec", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes(tmp_path):
    assert set(commands()) <= complete("ragify-ctl", "")
    assert complete("ragify-ctl", "que") == {"query"}
    assert complete("ragify-ctl", "--url", "http://a", "jobs", "pa") == {"pause"}
    assert {"list", "show", "run", "pause", "resume", "cancel"} <= complete("ragify-ctl", "jobs", "")
    assert complete("ragify-ctl", "query", "--max") == {"--max-chunks"}
    assert "--json" in complete("ragify-ctl", "-")
    assert complete("ragify-ctl", "nonsense", "") == set()


def test_the_packages_take_them_in():
    listed = (ROOT / "tools" / "package" / "debian" / "ragify.install").read_text().split()
    for folder in ("usr/share/man", "usr/share/bash-completion", "usr/share/zsh", "usr/share/fish"):
        assert any(folder == taken or folder.startswith(taken + "/") for taken in listed), folder
