"""The wheel and the sdist of `make dist`: what is in them, and that the wheel works where nothing else is."""

from __future__ import annotations

import dataclasses
import email
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from markdown_it import MarkdownIt

from support.commands import ANY_PORTS, PATIENCE, environment, run, started

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from email.message import Message

pytestmark = pytest.mark.registries

ROOT = Path(__file__).parent.parent.parent
SOURCES = "service/pageroles/"
CORE = "pageroles/_core.abi3.so"
# What people install; `dev` is for those who change pageroles.
EXTRAS = {"embedded", "parquet", "traces"}
DOMAIN = "example.com"
JULY = ("--start-date", "2025-07-01", "--end-date", "2025-07-31")
SESSION = {
    "domain": DOMAIN,
    "session_id": "s1",
    "user_id": "u1",
    "started_at": "2025-07-03T10:00:00Z",
    "referrer": "https://www.google.com/",
    "page_views": [{"url": "https://example.com/pricing?ref=x", "viewed_at": "2025-07-03T10:00:00Z"}],
}


def tracked(*folders: str) -> set[str]:
    """Return the files that belong to the project, below some folders or all."""
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name}


@pytest.fixture(scope="module")
def wheel() -> Path:
    (found,) = (ROOT / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def in_wheel(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def in_sdist() -> dict[str, bytes]:
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = [member for member in archive if not member.isdir()]
        assert all(member.isreg() for member in members), "a link may lead out of the sdist"
        return {
            member.name.partition("/")[2]: file.read()
            for member in members
            if (file := archive.extractfile(member)) is not None
        }


@pytest.fixture(scope="module")
def metadata(in_wheel: dict[str, bytes]) -> Message:
    (name,) = (name for name in in_wheel if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(in_wheel[name])


# ---- what is in them ----


def test_the_wheel_has_every_file_of_the_package_and_no_other(in_wheel: dict[str, bytes]) -> None:
    sources = {name.removeprefix("service/"): (ROOT / name).read_bytes() for name in tracked(SOURCES)}
    package = {name: text for name, text in in_wheel.items() if name.startswith("pageroles/")}
    assert package.pop(CORE)
    assert package == sources
    described = {name.partition(".dist-info/")[2] for name in in_wheel.keys() - package.keys() - {CORE}}
    licences = {"licenses/LICENSE", "licenses/LICENSE-MPL-2.0"}
    assert described == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "sboms/pageroles-python.cyclonedx.json", *licences,
    }  # fmt: skip


def test_the_sdist_has_all_that_builds_the_wheel_and_nothing_of_this_machine(in_sdist: dict[str, bytes]) -> None:
    ours = in_sdist.keys() - {"PKG-INFO"}
    assert ours <= tracked()
    # maturin writes the members of the workspace anew.
    assert not [name for name in ours - {"Cargo.toml"} if in_sdist[name] != (ROOT / name).read_bytes()]
    needed = tracked(SOURCES, "core_rs", "deploy", "proto/*.proto", "docs/*.md", "Cargo.*", "LICENSE*")
    assert ours >= needed - tracked("core_rs/fuzz")


def test_one_wheel_serves_all_versions_of_python(wheel: Path, metadata: Message) -> None:
    assert "-cp311-abi3-" in wheel.name
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_wheel_names_no_path_of_the_machine_that_built_it(in_wheel: dict[str, bytes]) -> None:
    assert not [path for path in (Path.home(), ROOT) if f"{path}/".encode() in in_wheel[CORE]]


def test_the_metadata_says_what_the_documents_say(metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0 AND MPL-2.0"
    assert set(metadata.get_all("Provides-Extra", [])) == {*EXTRAS, "dev"}
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    page = (ROOT / "docs/package.md").read_text()
    assert str(metadata.get_payload()).strip() == page.strip()
    assert all(f"`{extra}`" in page for extra in EXTRAS)


def test_every_extra_that_is_named_can_be_installed() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(ROOT / SOURCES).rglob("*.py")]
    named = {
        extra
        for page in pages
        for extras in re.findall(r"pageroles(?:-\S*?\.whl)?\[([\w,]+)\]", page.read_text())
        for extra in extras.split(",")
    }
    assert named == EXTRAS


def test_a_package_index_can_show_the_page(metadata: Message) -> None:
    """It has nothing beside it: every link must be whole, and pictures have no place to come from."""
    blocks = MarkdownIt().parse(str(metadata.get_payload()))
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    assert tokens[0].tag == "h1"
    links = [str(token.attrs["href"]) for token in tokens if token.type == "link_open"]
    assert all(link.startswith("https://") for link in links)
    assert not [token for token in tokens if token.type == "image"]


# ---- where only the wheel is installed ----


@dataclasses.dataclass
class Installed:
    """An environment with the wheel, and what its command said there before the extra `embedded` came."""

    folder: Path
    program: Sequence[str]
    bare: dict[str, subprocess.CompletedProcess[str]]

    def pageroles(self, *args: str) -> str:
        """Run the command in the folder; return what it prints."""
        done = run(self.folder, *args, program=self.program)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("installed")
    venv = folder / "venv"
    # The versions that all other tests use.
    constraints = folder / "constraints.txt"
    pins = re.findall(r"^[\w.-]+==\S+", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)
    constraints.write_text("\n".join(pins))
    (folder / "sessions.jsonl").write_text(json.dumps(SESSION))

    def install(what: str) -> None:
        pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--constraint", str(constraints), what]
        subprocess.run(pip, cwd=folder, check=True, timeout=PATIENCE * 4)

    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        install(str(wheel))
        program = [str(venv / "bin/pageroles")]
        commands = (
            ["--help"],
            ["version"],
            ["gateway", "--help"],
            ["schema", "--print"],
            ["demo", "--once"],
            ["serve"],
        )
        bare = {" ".join(args): run(folder, *args, program=program) for args in commands}
        install(f"{wheel}[embedded]")
        yield Installed(folder, program, bare)


def test_without_the_engine_the_command_says_what_to_install(installed: Installed) -> None:
    for command in ("--help", "version", "gateway --help", "schema --print"):
        assert installed.bare[command].returncode == 0, installed.bare[command].stderr
        assert installed.bare[command].stdout
    for command in ("demo --once", "serve"):
        done = installed.bare[command]
        assert done.returncode == 1
        assert 'run pip install "pageroles[embedded]", or give a ClickHouse server' in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_it_is_the_wheel_that_runs(installed: Installed) -> None:
    show = "import pageroles, pageroles._core as core; print(pageroles.__file__, core.__file__)"
    python = Path(installed.program[0]).with_name("python")
    shown = subprocess.run([python, "-c", show], cwd=installed.folder, capture_output=True, text=True, check=True)
    assert all(Path(file).is_relative_to(installed.folder) for file in shown.stdout.split())
    assert installed.pageroles("version") == run(installed.folder, "version").stdout


def test_the_demo_answers(installed: Installed) -> None:
    shown = installed.pageroles("demo", "--once", "--sessions", "2000", *ANY_PORTS)
    assert "https://example.com" in shown


def test_it_loads_serves_and_reports(installed: Installed) -> None:
    folder, program = installed.folder, installed.program
    installed.pageroles("load", "sessions.jsonl")
    key = installed.pageroles("keys", "create", "--domain", DOMAIN).strip()
    with started([*program, "serve", *ANY_PORTS], folder, environment(folder)) as (_, line):
        installed.pageroles("load", "sessions.jsonl")  # through the server
        shown = json.loads(installed.pageroles("report", "--target", line["grpc"], "--key", key, *JULY, "--json"))
        url = f"http://{line['http']}"
        asked = requests.post(
            f"{url}/api/v1/pages", json={"start_date": JULY[1], "end_date": JULY[3], "source": "google.com"},
            headers={"Authentication": key}, timeout=PATIENCE,
        )  # fmt: skip
        assert asked.json() == shown
        assert shown["summary_totals"]["total_sessions"] == 1
        web = {name.removeprefix(f"{SOURCES}web/") for name in tracked(f"{SOURCES}web")}
        pages = {
            "",
            "docs",
            "openapi.json",
            "readyz",
            "swagger-ui/swagger-ui.css",
            *(f"explorer/{name}" for name in web),
        }
        statuses = {page: requests.get(f"{url}/{page}", timeout=PATIENCE).status_code for page in sorted(pages)}
        assert set(statuses.values()) == {200}, statuses
    installed.pageroles("backup", "backup")
    installed.pageroles("check")
