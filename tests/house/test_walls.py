"""The walls of the house: a room imports only what stands below it, and a library only where it belongs.

The order is that of docs/architecture.md. Imports for types alone count, too: what a reader must know is what the
signatures say.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pageroles

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = Path(pageroles.__file__).parent
ROOT = SERVICE.parent.parent
# From the top down; rooms in one line do not know each other.
FLOORS = (
    ("__init__",),
    ("command",),
    ("serving", "client"),
    ("transport",),
    ("service",),
    ("writing",),
    ("telemetry",),
    ("report", "access", "ingest"),
    ("question", "store"),
    ("cached", "admission", "turns", "rest_shape"),
    ("settings", "sentences", "errors", "counts", "incoming"),
    ("v1", "_core"),
)
# The libraries that only some rooms import; all others may be imported anywhere.
LIBRARIES = {
    "chdb": {"store"},
    "clickhouse_connect": {"store"},
    "urllib3": {"store"},
    "jinja2": {"store"},
    "grpc": {"transport", "client"},
    "grpc_health": {"transport"},
    "grpc_reflection": {"transport"},
    "grpc_status": {"transport"},
    "google.rpc": {"transport", "client"},
    "starlette": {"transport"},
    "uvicorn": {"transport"},
    "h11": {"transport"},
    "swagger_ui_bundle": {"transport"},
    "typer": {"command"},
    "rich": {"command"},
    "pyarrow": {"ingest", "client"},
    "pandas": {"client"},
    "backports": {"ingest"},
    "compression": {"ingest"},
    "cachetools": {"report"},
    "prometheus_client": {"telemetry"},
    "opentelemetry": {"telemetry"},
}
LOWEST = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports(text: str, package: str) -> Iterator[tuple[int, str]]:
    """Give the line and the whole name of all that a module imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            named = node.args[0]
            if isinstance(named, ast.Constant):
                yield node.lineno, str(named.value)
            elif isinstance(named, ast.JoinedStr):  # a folder's modules by name: the folder is imported
                yield node.lineno, str(getattr(named.values[0], "value", "")).rstrip(".")


def faults(text: str, path: str) -> list[str]:
    """Return a sentence for each import that a module of the service may not have; `path` is below the package."""
    room = path.split("/", maxsplit=1)[0].removesuffix(".py")
    package = ".".join(["pageroles", *path.split("/")[:-1]])
    found = []
    for line, name in imports(text, package):
        where = f"{path}:{line} imports {name}"
        if name.split(".")[0] == "pageroles":
            other = name.split(".")[1] if "." in name else ""
            if other not in LOWEST or other == room:
                continue
            if room not in LOWEST:
                found.append(f"{where}: {room} has no floor yet; give it one in {Path(__file__).name}")
            elif LOWEST[other] <= LOWEST[room]:
                found.append(f"{where}, but {room} may import only what stands below it, and {other} does not")
        else:
            found += [
                f"{where}, but only {' and '.join(sorted(rooms))} may know {library}"
                for library, rooms in LIBRARIES.items()
                if f"{name}.".startswith(f"{library}.") and room not in rooms
            ]
    return found


def modules() -> list[Path]:
    return [path for path in SERVICE.rglob("*.py") if "v1" not in path.relative_to(SERVICE).parts]


def test_rooms_import_only_what_stands_below_them() -> None:
    found = [fault for path in modules() for fault in faults(path.read_text(), path.relative_to(SERVICE).as_posix())]
    assert not found, "\n".join(found)


def test_every_room_has_a_floor_and_every_floor_has_rooms() -> None:
    rooms = {path.relative_to(SERVICE).parts[0].removesuffix(".py") for path in modules()}
    assert rooms | {"v1", "_core"} == set(LOWEST)


@pytest.mark.parametrize(
    ("path", "line", "says"),
    [
        ("store/store.py", "from pageroles.question import filters", "store may import only what stands below it"),
        ("access/keys.py", "from pageroles.report import run", "report does not"),
        ("access/keys.py", "from ..report import run", "imports pageroles.report.run"),
        ("question/model.py", "import pageroles.command.app", "command does not"),
        ("cached.py", "from pageroles import service", "service does not"),
        ("service.py", "import grpc.aio", "only client and transport may know grpc"),
        ("report/run.py", "from clickhouse_connect import get_client", "only store may know clickhouse_connect"),
        ("report/run.py", "if TYPE_CHECKING:\n    import chdb", "report/run.py:2 imports chdb, but only store"),
        ("errors.py", "from google.rpc import status_pb2", "only client and transport may know google.rpc"),
        ("store/engine.py", 'importlib.import_module("pageroles.report.run")', "report does not"),
        ("attic.py", "from pageroles import errors", "attic has no floor yet"),
    ],
)
def test_a_wall_that_is_broken_is_named(path: str, line: str, says: str) -> None:
    (fault,) = faults(line, path)
    assert says in fault


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("store/store.py", "from pageroles.errors import PagerolesError"),
        ("store/store.py", "import clickhouse_connect"),
        ("transport/rest_app.py", "from pageroles.question.filters import FILTERS"),
        ("client/blocking.py", "import grpc"),
        ("__init__.py", "from pageroles.client import Client"),
        ("errors.py", "import grpcio_tools"),
    ],
)
def test_what_is_allowed_is_no_fault(path: str, line: str) -> None:
    assert not faults(line, path)


def test_no_import_stands_in_a_function() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{inner.lineno}"
        for path in modules()
        for outer in ast.walk(ast.parse(path.read_text()))
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not found


def test_imports_are_absolute() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not found


def test_test_modules_import_no_test_modules() -> None:
    tests = list((ROOT / "tests").rglob("test_*.py"))
    names = {path.stem for path in tests}
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in tests
        for line, name in imports(path.read_text(), "")
        if names & set(name.split("."))
    ]
    assert not found, "\n".join(found)


def test_the_page_about_the_house_draws_the_same_rooms_in_the_same_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawn = [name.strip("/").removesuffix(".py") for name in re.findall(r"^\| `([\w./]+)` \|", page, re.MULTILINE)]
    rooms = [name for name in drawn if name in LOWEST]
    upper = [room for floor in FLOORS[:9] for room in floor]
    assert set(rooms) >= set(upper), "each folder is a row"
    for above, below in itertools.pairwise(rooms):
        assert LOWEST[above] <= LOWEST[below], f"{above} is drawn above {below}"
    assert len(page.splitlines()) <= 120


def test_the_python_of_the_house_is_seen() -> None:
    assert len(modules()) > 40
