"""What the repository as a whole promises: nothing of one machine in it, and nothing undocumented."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import liftlock
from liftlock import errors

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
EXIT_CODES = ROOT / "docs" / "reference" / "exit-codes.md"
ADRS = ROOT / "docs" / "adr"

# Written in parts, so that this file does not find itself.
MACHINE = re.compile(
    r"(?<![\w./-])/(?:work|home|Users|root|opt)/[\w.-]+"
    r"|\b(?:index|find)-" + r"(?:url|links)\b *[= ] *[^\s-]"
    r"|files\.python" + r"hosted\.org|/simp" + r"le/"
    r"|registry\.npm" + r"js\.org"
)


def tracked() -> list[Path]:
    """The files that git knows, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git work tree")
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_no_file_names_a_place_of_one_machine_or_a_package_index() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "name", ["base.txt", "action.txt", "adapter.txt", "build.txt", "full.txt", "server.txt", "dev.txt"]
)
def test_requirements_are_pinned_and_hashed_and_say_nothing_else(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text().replace("\\\n", " ").splitlines()
    wrong = [
        line[:100]
        for line in lines
        if line and not line.startswith("#")
        if not re.fullmatch(
            r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==[^ ]+( ;[^\\]*?)?( +--hash=sha256:[0-9a-f]{64})+ *", line
        )
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["base", "action", "full", "build"])
def test_what_users_get_is_tested_in_the_versions_that_developers_have(name: str) -> None:
    def pins(file: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{file}.txt").read_text()
        return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^ ]+)", text, re.MULTILINE))

    assert pins(name).items() <= pins("dev").items()


def error_classes() -> Iterator[type[errors.LiftlockError]]:
    for _, each in inspect.getmembers(errors, inspect.isclass):
        if issubclass(each, errors.LiftlockError):
            yield each


@pytest.mark.parametrize("error", list(error_classes()), ids=lambda error: error.__name__)
def test_every_error_has_a_documented_exit_code_and_a_place_in_the_tree(
    error: type[errors.LiftlockError],
) -> None:
    assert re.search(rf"[─ ]{error.__name__} ", f"{errors.__doc__} ") or error is errors.LiftlockError
    assert f"| {error.exit_code} |" in EXIT_CODES.read_text()


def test_every_exit_code_of_the_commands_is_documented() -> None:
    said = set(re.findall(r"^\| (\d+) \|", EXIT_CODES.read_text(), re.MULTILINE))
    assert said == {"0", "1", "2", "3", "4", "5", "6", "130", "143"}


def test_every_decision_is_numbered_once_and_listed() -> None:
    index = (ADRS / "README.md").read_text()
    pages = sorted(path for path in ADRS.glob("*.md") if path.name != "README.md")
    numbers = [page.name[:4] for page in pages]
    assert len(set(numbers)) == len(numbers)
    for page in pages:
        title = page.read_text().splitlines()[0]
        assert title.startswith(f"# {page.name[:4]}: "), page.name
        assert f"[{title[2:]}]({page.name})" in index
        for part in ("## Context", "## Choice", "## Refused", "## When to look again"):
            assert part in page.read_text(), f"{page.name} has no part {part!r}"
    assert index.count("](0") == len(pages)


@pytest.mark.parametrize(("script", "kept"), [("reference", EXIT_CODES.parent), ("diagrams", PICTURES)])
def test_generated_pages_are_fresh(script: str, kept: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts" / f"{script}.py"), str(tmp_path)], check=True)
    stale = [new.name for new in tmp_path.iterdir() if (kept / new.name).read_bytes() != new.read_bytes()]
    assert stale == [], "run `make docs` and commit what changed"


def modules() -> list[ModuleType]:
    names = [m.name for m in pkgutil.walk_packages(liftlock.__path__, "liftlock.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def test_exported_names_exist_and_say_what_they_are() -> None:
    for module in modules():
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{module.__name__} has no {name}"
        assert module.__doc__ or not dir_is_used(module), f"{module.__name__} does not say what it is for"


def dir_is_used(module: ModuleType) -> bool:
    """Whether the module holds anything; an empty `__init__` needs no words."""
    source = Path(module.__file__ or "")
    return source.is_file() and source.stat().st_size > 0


def test_every_package_that_is_imported_is_asked_for() -> None:
    """What a dependency happens to bring may go away with its next version."""
    told = [*project()["project"]["dependencies"]]
    for extra in project()["project"]["optional-dependencies"].values():
        told += extra
    known = {re.split(r"[\[<>=]", requirement)[0].replace("-", "_") for requirement in told}
    known |= {"google", "yaml", "liftlock"} | set(sys.stdlib_module_names)  # of google-auth and pyyaml
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in imported(node)
        if name.partition(".")[0] not in known
    }
    assert found == set()


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module]
    return []


def test_public_names_are_those_that_are_listed() -> None:
    assert liftlock.__all__ == ["__version__"]


def test_every_adapter_is_found_and_is_a_plugin() -> None:
    from liftlock.plugins import Plugin

    groups = project()["project"]["entry-points"]
    for group, entries in groups.items():
        for name, value in entries.items():
            module, _, attribute = value.partition(":")
            plugin = getattr(importlib.import_module(module), attribute)
            assert isinstance(plugin, Plugin), f"{group} {name}"
            assert plugin.name == name


def test_every_module_stands_within_the_walls() -> None:
    """The layers are exhaustive by themselves; the two walls around the sandbox name modules one by one."""
    top = {m.name for m in pkgutil.iter_modules(liftlock.__path__)} - {"sandbox", "__main__"}
    contracts = {c["name"]: c for c in project()["tool"]["importlinter"]["contracts"]}
    of_sandbox = contracts["the sandbox is the other side of the wire"]["forbidden_modules"]
    of_core = contracts["the core reaches the sandbox over the wire alone"]["source_modules"]
    assert {f"liftlock.{name}" for name in top} == set(of_sandbox)
    assert {f"liftlock.{name}" for name in top - {"cli", "demo"}} == set(of_core)


PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in link and not link.startswith("mailto:"):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_make_lists_every_target_that_people_are_told_of() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in ("demo", "test", "check", "format", "docs", "bench", "clean", "help"):
        assert re.search(rf"^make {target} +\S", listed, re.MULTILINE), target
    said = re.findall(r"`make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text())
    assert {f"make {target}" for target in said} <= set(re.findall(r"^make [a-z]+", listed, re.MULTILINE))
