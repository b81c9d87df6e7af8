"""What the documents show is so: every command and code block runs, against the demo and a store of the page's own.

The blocks of a page run in order, in one folder, and share exported variables, as if a reader pasted them. Questions go
to a running demo, with fewer sessions and at other ports, until the page starts a server of its own. A block that can't
run has `<!-- not run: REASON -->` in front. The tests use the command alone and import nothing of the package.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/decisions/*.md", "benchmarks/README.md")
PAGES = [path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]
VENV = Path(sys.executable).parent.parent
PAGEROLES = str(Path(sys.executable).with_name("pageroles"))
PATIENCE = 60
SESSIONS = 20_000
GRPC, HTTP = "127.0.0.1:50051", "127.0.0.1:8080"
_SERVING = (["pageroles", "serve"], [".venv/bin/pageroles", "serve"])
ANY_PORTS = {"PAGEROLES_GRPC_ADDRESS": "127.0.0.1:0", "PAGEROLES_HTTP_ADDRESS": "127.0.0.1:0"}
NOTHING_FOUND = "No page data found"


# ---- the parser ----


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of a page; the language of an indented one is empty."""

    line: int
    language: str
    text: str
    reason: str | None


_MARK = re.compile(r"<!-- not run: (.+) -->")
_FENCE = re.compile(r"\s*(```|~~~)\s*(\w*)")


def blocks(page: str) -> list[Block]:
    """Return the fenced and indented blocks of a page, in order."""
    found, lines = [], page.splitlines()
    number, mark, is_blank = 0, None, True
    while number < len(lines):
        line, start = lines[number], number + 1
        fence = _FENCE.match(line)
        if fence or (line.startswith("    ") and is_blank):
            body, number = _fenced(lines, number, fence[1]) if fence else _indented(lines, number)
            found.append(Block(start, fence[2] if fence else "", body, mark))
            mark, is_blank = None, True
            continue
        is_blank = not line.strip()
        if not is_blank:
            mark = found_mark[1] if (found_mark := _MARK.fullmatch(line.strip())) else None
        number += 1
    return found


def _fenced(lines: list[str], start: int, fence: str) -> tuple[str, int]:
    margin = len(lines[start]) - len(lines[start].lstrip())
    end = next((at for at in range(start + 1, len(lines)) if lines[at].strip() == fence), None)
    if end is None:
        raise AssertionError(f"line {start + 1}: the block has no end")
    return "\n".join(line[margin:] for line in lines[start + 1 : end]) + "\n", end + 1


def _indented(lines: list[str], start: int) -> tuple[str, int]:
    end = start
    while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
        end += 1
    return "\n".join(line[4:] for line in lines[start:end]).rstrip() + "\n", end


# ---- the demo and the reader ----


@dataclasses.dataclass
class Served:
    """Where questions go."""

    grpc: str
    http: str
    key: str


def _environment() -> dict[str, str]:
    ours = {"COLUMNS": "160", "NO_COLOR": "1", "GOFLAGS": "-mod=mod"}
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PAGEROLES_")}, **ours}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo, smaller and at free ports."""
    folder = tmp_path_factory.mktemp("demo")
    process = subprocess.Popen(
        [PAGEROLES, "demo", "--sessions", str(SESSIONS)],
        cwd=folder, env={**_environment(), **ANY_PORTS}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        told = ""
        assert process.stdout is not None
        for line in process.stdout:
            told += line
            if "Serving until" in line:
                break
        where = re.search(r"--target (\S+).*http://(\S+)/docs.*key: (pr_\S+)", told, re.DOTALL)
        assert where is not None, told
        yield Served(*where.groups())
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> str:
    """End a process as an operator would; return the rest of what it told."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    return (out or "") + (err or "")


class Reader:
    """Pastes the blocks of one page, in a folder that looks like the project's after `make setup`."""

    def __init__(self, folder: Path, served: Served) -> None:
        self.folder = folder
        self.missing: set[str] = set()
        self._served = served
        self._state = folder / ".state"
        self._state.touch()
        (folder / ".venv").symlink_to(VENV)
        (folder / "build").mkdir()
        self._server: subprocess.Popen[str] | None = None
        self._environment = {
            **_environment(),
            "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",  # as in an environment into which the package was installed
            "PAGEROLES_KEY": served.key,
            "PAGEROLES_TARGET": served.grpc,
            **ANY_PORTS,
        }

    def paste(self, block: Block) -> None:
        """Run a block; fail where it does."""
        run = _RUNNERS.get(block.language)
        assert run is not None, f"a block of {block.language or 'no language'!r} is neither run nor marked"
        run(self, block.text.replace(GRPC, self._served.grpc).replace(HTTP, self._served.http))

    def close(self) -> None:
        """Stop the page's own server."""
        if self._server is not None:
            told = _stop(self._server)
            assert self._server.returncode == 0, told

    # ---- how each language is run ----

    def json(self, text: str) -> None:
        for line in text.splitlines():
            try:
                json.loads(line)
            except ValueError as fault:
                raise AssertionError(f"{fault}: {line}") from None

    def shell(self, text: str) -> None:
        commands = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
        if all(command[0] == "make" for command in commands):
            for command in commands:
                self._run(["make", "--dry-run", *command[1:]], cwd=ROOT)
        elif any(command[:2] in _SERVING for command in commands):
            assert len(commands) == 1, "a server stands alone in its block"
            self._serve(text)
        else:
            told = self._bash(text)
            assert NOTHING_FOUND not in told, told

    def console(self, text: str) -> None:
        command, *shown = text.splitlines()
        assert command.startswith("$ "), "a console block starts with its command"
        told = self._bash(command.removeprefix("$ "))
        left = iter(_forms(told))
        for form in _forms("\n".join(shown)):
            assert form in left, f"{form!r} is not in what the command prints, or not there:\n{told}"

    def python(self, text: str) -> None:
        self._found(self._bash("exec .venv/bin/python - ", text=text))

    def javascript(self, text: str) -> None:
        if self._has("node"):
            self._found(self._bash("exec node --input-type=module -", text=text))

    def go(self, text: str) -> None:
        if self._has("go"):
            (self.folder / "main.go").write_text(text)
            self._found(self._bash("exec go run main.go"))

    def sql(self, text: str) -> None:
        if not (self.folder / ".pageroles").exists():
            self._bash(".venv/bin/pageroles schema")
        program = (
            "import sys, clickhouse_connect as driver\n"
            "with driver.get_client(dsn='chdb://.pageroles') as client: client.command(sys.stdin.read())\n"
        )
        (self.folder / "run_sql.py").write_text(program)
        self._bash("exec .venv/bin/python run_sql.py", text=text)

    def _serve(self, text: str) -> None:
        assert self._server is None, "one server a page"
        self._server = subprocess.Popen(
            ["bash", "-c", f"source .state; exec {text}"], cwd=self.folder, env=self._environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._server.stderr is not None
        started = self._server.stderr.readline()
        assert '"serving"' in started, started + _stop(self._server)
        line: dict[str, Any] = json.loads(started)
        self._served = dataclasses.replace(self._served, grpc=line["grpc"], http=line["http"])
        with self._state.open("a") as state:
            state.write(f"export PAGEROLES_TARGET={line['grpc']}\n")

    def _bash(self, script: str, text: str = "") -> str:
        keep = "" if script.startswith("exec ") else "\nexport -p > .state"
        return self._run(["bash", "-euo", "pipefail", "-c", f"source .state\n{script}{keep}"], text=text)

    def _run(self, command: list[str], *, text: str = "", cwd: Path | None = None) -> str:
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=self._environment, input=text,
            capture_output=True, text=True, timeout=PATIENCE * 2, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _has(self, command: str) -> bool:
        if shutil.which(command) is None:
            self.missing.add(command)
        return command not in self.missing

    def _found(self, told: str) -> None:
        assert told.strip(), "it prints nothing"
        assert NOTHING_FOUND not in told, told


_RUNNERS: dict[str, Callable[[Reader, str], None]] = {
    "sh": Reader.shell,
    "console": Reader.console,
    "python": Reader.python,
    "js": Reader.javascript,
    "go": Reader.go,
    "sql": Reader.sql,
    "json": Reader.json,
}


def _forms(text: str) -> list[str]:
    """Return the form of each line: figures, and which pages there are, change from day to day."""
    return [_form(line) for line in text.splitlines() if line.strip() not in {"", "…"}]


def _form(line: str) -> str:
    line = re.sub(r"https?://\S+", "PAGE", line)
    line = re.sub(r"\d[\d,.]*", "0", line)
    return re.sub(r"─+", "─", " ".join(line.split()))


@contextlib.contextmanager
def reading(folder: Path, served: Served) -> Iterator[Reader]:
    """Read a page; stop its server afterwards."""
    reader = Reader(folder, served)
    try:
        yield reader
    finally:
        reader.close()


# ---- the tests ----


@pytest.mark.parametrize("name", PAGES)
def test_every_block_runs_or_says_why_not(name: str, demo: Served, tmp_path: Path) -> None:
    with reading(tmp_path, demo) as reader:
        for block in blocks((ROOT / name).read_text()):
            if block.reason is None:
                try:
                    reader.paste(block)
                except AssertionError as fault:
                    raise AssertionError(f"{name}, line {block.line}: {fault}") from None
    if reader.missing:
        pytest.skip(f"not installed here: {', '.join(sorted(reader.missing))}")


def test_the_parser_finds_every_kind_of_block() -> None:
    page = (
        "Text\n\n    indented\n\n    more\n\nText\n    no block\n\n```sh\n\nfenced\n```\n\n"
        "<!-- not run: why -->\n```text\nmarked\n```\n- item\n  ```json\n  {}\n  ```\n"
    )
    assert [(block.language, block.text, block.reason) for block in blocks(page)] == [
        ("", "indented\n\nmore\n", None),
        ("sh", "\nfenced\n", None),
        ("text", "marked\n", "why"),
        ("json", "{}\n", None),
    ]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("", "an indented block\n"),
        ("yaml", "a: language that nothing runs\n"),
        ("sh", "false\n"),
        ("sh", "make no-such-target\n"),
        ("sh", ".venv/bin/pageroles report --source no-such-source\n"),
        ("json", '{"broken": \n'),
        ("python", "raise SystemExit(1)\n"),
        ("console", "$ .venv/bin/pageroles report --rows 1\nWhere nobody goes\n"),
        ("sql", "INSERT INTO sessions (no_such_column) VALUES (1)\n"),
    ],
)
def test_a_block_that_does_not_hold_is_found(language: str, text: str, demo: Served, tmp_path: Path) -> None:
    with reading(tmp_path, demo) as reader, pytest.raises(AssertionError):
        reader.paste(Block(1, language, text, None))


_COMMAND = re.compile(r"(?:`|\.venv/bin/)(pageroles(?: [a-z][a-z-]*| -{1,2}[a-z][a-z-]*| [A-Z]+…?)*)")
_GROUPS = {"keys", "domains"}


@functools.cache
def _help(*path: str) -> str:
    done = subprocess.run(
        [PAGEROLES, *path, "--help"], env=_environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PAGES)
def test_every_command_and_option_exists(name: str) -> None:
    for command in _COMMAND.findall((ROOT / name).read_text()):
        words = command.split()[1:]
        depth = 2 if words and words[0] in _GROUPS else 1
        path = [word for word in words[:depth] if word[0].islower()]
        told = _help(*path)
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"(?<!\S){option}(?!\S)", told), f"{name}: {command}"


def _helps(*path: str) -> Iterator[str]:
    """Give the help of a command and of all its commands."""
    told = _help(*path)
    yield told
    _, _, commands = told.partition("─ Commands ─")
    for command in re.findall(r"^│ ([a-z]+) ", commands, re.MULTILINE):
        yield from _helps(*path, command)


def test_every_variable_is_documented() -> None:
    used = {name for told in _helps() for name in re.findall(r"env var: (PAGEROLES_[A-Z_]+)", told)}
    documented = set(re.findall(r"PAGEROLES_[A-Z_]+", (ROOT / "docs" / "operating.md").read_text()))
    assert {"PAGEROLES_STORE", "PAGEROLES_KEY", "PAGEROLES_GRACE"} <= used
    assert used <= documented


def test_every_example_stands_in_the_page() -> None:
    page = (ROOT / "docs" / "rest.md").read_text()
    folder = ROOT / "docs" / "examples"
    examples = sorted((*folder.glob("ask*.*"), *folder.glob("*/ask*.ts")))
    assert {example.suffix for example in examples} == {".sh", ".py", ".mjs", ".go", ".ts"}
    for example in examples:
        assert f"\n{example.read_text().rstrip()}\n```" in page, example.name


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    for page in sorted(folder.glob("[0-9]*.md")):
        number, title = re.match(r"# (\d{4}): (.+)", page.read_text()).groups()  # type: ignore[union-attr]
        assert page.name.startswith(number)
        assert f"| [{number}]({page.name}) | {title} |" in index, page.name


_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for link in _LINK.findall(page.read_text()):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target) if target else page
        # `make pictures` makes them, all together.
        if path.parent == ROOT / "docs" / "pictures" and not path.parent.exists():
            continue
        assert path.exists(), link
        assert not anchor or anchor in _anchors(path.read_text()), link


def test_the_page_of_the_package_needs_nothing_beside_it() -> None:
    """A package index shows it alone: links and pictures of the repository would lead nowhere."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / project["readme"]).read_text()
    assert project["readme"] in PAGES, "its blocks are run"
    assert all(link.startswith("https://") for link in _LINK.findall(page))
    assert not re.search(r"\bmake \w|\.venv|docs/|<img", page)
