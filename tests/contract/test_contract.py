"""The contract compiles from what the project ships, and the package carries it."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

import pytest
from google.api import annotations_pb2

from support.contract_page import PROTO, commands, shell

CONTRACT = sorted(path.relative_to(PROTO) for path in (PROTO / "pageroles").rglob("*.proto"))

ASK_THE_STUBS = """
import grpc
from pageroles.v1 import pages_pb2, pages_pb2_grpc
stub = pages_pb2_grpc.PageRolesServiceStub(grpc.insecure_channel("127.0.0.1:1"))
assert stub.Pages and stub.StreamPages
print(pages_pb2.__file__, pages_pb2.PagesRequest(touch_scope="TOUCH_SCOPE_AFTER").touch_scope)
"""


def test_python_stubs_are_made_as_the_page_says(tmp_path: Path) -> None:
    shutil.copytree(PROTO, tmp_path / "proto", ignore=shutil.ignore_patterns("examples"))
    shell(commands("Python"), tmp_path)
    # The package of the same name lies on the path as well, and a folder without this file would come after it.
    for folder in ("pageroles", "pageroles/v1"):
        (tmp_path / "gen" / folder / "__init__.py").touch()
    shown = shell(f"python -W error -c '{ASK_THE_STUBS}'", tmp_path, PYTHONPATH=str(tmp_path / "gen"))
    assert shown.split() == [str(tmp_path / "gen/pageroles/v1/pages_pb2.py"), "5"]


@pytest.mark.parametrize("contract", CONTRACT, ids=str)
def test_the_package_carries_the_contract(contract: Path, tmp_path: Path) -> None:
    carried = importlib.resources.files(".".join(contract.parent.parts)) / contract.name
    assert carried.read_bytes() == (PROTO / contract).read_bytes()
    # Beside it in an installed package, since pageroles depends on googleapis-common-protos.
    google = Path(str(annotations_pb2.__file__)).parents[2]
    with importlib.resources.as_file(carried) as path:
        includes = f"-I {path.parents[len(contract.parts) - 1]} -I {google}"
        shell(f"python -m grpc_tools.protoc {includes} --descriptor_set_out={tmp_path}/set {contract}", tmp_path)


@pytest.mark.parametrize("name", ["annotations.proto", "http.proto"])
def test_googles_files_are_as_google_ships_them(name: str) -> None:
    shipped = Path(str(annotations_pb2.__file__)).parent / name
    assert (PROTO / "google/api" / name).read_text() == shipped.read_text(), "run make proto"
