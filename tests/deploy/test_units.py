"""The units of deploy/systemd: systemd takes them, and their commands work in what the units give them.

The commands run as they stand in the units, with the folders of a machine replaced by those of a test. What systemd
itself does for a unit, such as its user and its view of the file system, is not tried here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from pageroles.command import processes
from pageroles.settings import ServerSettings
from support.commands import PAGEROLES, PATIENCE, run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
# Tenths, as `systemd-analyze security` counts them: 0 is a process that may do nothing, 100 one that may do all.
MOST_EXPOSURE = 15
# What a unit says of its sandbox, and what may differ from one to another.
SANDBOX = re.compile(r"(Protect|Private|Restrict|SystemCall|Capability|NoNew|Lock|RemoveIPC|UMask)")


def settings(unit: str) -> dict[str, str]:
    """Return the settings of a unit; of those that may stand more than once, all lines."""
    found: dict[str, str] = {}
    for line in (UNITS / unit).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def command(name: str) -> str:
    """Return where a program of systemd is; where none is installed, skip the test, or fail where it must run."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed: the units were not shown to systemd"
        if os.environ.get("PAGEROLES_REQUIRE_SYSTEMD") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def blocks(language: str) -> list[str]:
    """Return the blocks of docs/operating.md in a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "docs/operating.md").read_text(), re.DOTALL | re.MULTILINE
    )


@dataclasses.dataclass
class Machine:
    """The folders that the units name, within a folder of the test."""

    root: Path

    def here(self, text: str) -> str:
        """Replace the folders that a unit names."""
        text = text.replace("/opt/pageroles/bin/pageroles", PAGEROLES[0])
        return text.replace("/etc/pageroles", f"{self.root}/etc").replace("/var/lib/", f"{self.root}/lib/")

    def environment(self, unit: str) -> dict[str, str]:
        """Return the variables that a unit gives its process, with free ports."""
        file = settings(unit)["EnvironmentFile"].removeprefix("/etc/pageroles/")
        lines = [line for line in (UNITS / file).read_text().splitlines() if line and not line.startswith("#")]
        given = dict(line.split("=", 1) for line in lines)
        kept = {name: re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", self.here(value)) for name, value in given.items()}
        return {"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": f"{self.root}/notify", **kept}

    def command(self, unit: str, setting: str, **variables: int) -> list[str]:
        """Return the words of a unit's command."""
        line = settings(unit)[setting]
        for name, value in variables.items():
            line = line.replace(f"${name}", str(value))
        return shlex.split(self.here(line).replace("$$", "$").replace("%%", "%"))

    def finish(self, unit: str, setting: str) -> None:
        """Run a unit's command to its end."""
        done = subprocess.run(
            self.command(unit, setting), cwd=self.root, env=self.environment(unit), capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    @contextlib.contextmanager
    def started(self, unit: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
        """Run a unit until the block ends; once it says that it is ready, yield it and its line of the log."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(f"{self.root}/notify")
            told.settimeout(PATIENCE)
            process = subprocess.Popen(
                self.command(unit, "ExecStart"), cwd=self.root, env={**self.environment(unit), **variables},
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            try:
                assert told.recv(100) == b"READY=1"
                yield process, self.line(process, "serving")
                process.send_signal(signal.SIGTERM)
                assert told.recv(100) == b"STOPPING=1"
                process.communicate(timeout=PATIENCE)
                assert process.returncode == 0
            finally:
                process.kill()
                process.communicate()
                Path(f"{self.root}/notify").unlink()

    def line(self, process: subprocess.Popen[str], event: str) -> dict[str, str]:
        """Return the next line of the log that has an event."""
        assert process.stderr is not None
        for line in process.stderr:
            if (found := json.loads(line))["event"] == event:
                return dict(found)
        raise AssertionError(f"there is no line {event!r}")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for folder in ("lib/pageroles", "lib/pageroles-backups", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    return Machine(tmp_path)


# ---- what systemd says ----


def test_systemd_takes_the_units(machine: Machine) -> None:
    analyze = command("systemd-analyze")
    for unit in [*SERVICES, *UNITS.glob("*.timer")]:
        (machine.root / unit.name).write_text(machine.here(unit.read_text()))
    copies = sorted(str(file) for file in machine.root.iterdir() if file.is_file())
    (drop_in,) = blocks("ini")
    (machine.root / "pageroles-gateway.service.d").mkdir()
    (machine.root / "pageroles-gateway.service.d/override.conf").write_text(machine.here(drop_in))
    done = subprocess.run([analyze, "--man=no", "verify", *copies], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_a_unit_may_do_little_more_than_its_work(unit: Path) -> None:
    analyze = [command("systemd-analyze"), "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(unit)]
    done = subprocess.run(analyze, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_the_user_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    sysusers = [command("systemd-sysusers"), f"--root={tmp_path}", str(UNITS / "pageroles.sysusers.conf")]
    subprocess.run(sysusers, check=True, capture_output=True)
    name, *_, home, shell = (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert (name, home) == (settings("pageroles.service")["User"], "/var/lib/pageroles")
    assert shell.endswith("nologin")


# ---- what the units say to each other and to the settings ----


def test_the_units_have_one_sandbox() -> None:
    server, *others = ({k: v for k, v in settings(unit.name).items() if SANDBOX.match(k)} for unit in SERVICES)
    assert len(server) > 20
    assert all(other == server for other in others)


@pytest.mark.parametrize("unit", ["pageroles.service", "pageroles-gateway.service"])
def test_requests_in_flight_may_finish(unit: str) -> None:
    assert int(settings(unit)["TimeoutStopSec"]) > ServerSettings.grace


@pytest.mark.parametrize("file", sorted(UNITS.glob("*.env")), ids=lambda file: file.stem)
def test_every_setting_of_a_file_exists(file: Path, tmp_path: Path) -> None:
    known = {setting["variable"] for setting in json.loads(run(tmp_path, "config", "--json").stdout)}
    named = set(re.findall(r"^#?(PAGEROLES_\w+)=", file.read_text(), re.MULTILINE))
    assert named
    assert named <= known


# ---- what their commands do ----


def test_what_is_installed_is_where_the_units_look(tmp_path: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if "install -D" in line]
    script = "\n".join(
        re.sub(r" (=?)(/etc|/usr/local)", rf" \1{tmp_path}\2", line.removeprefix("sudo ")) for line in lines
    )
    script = script.replace("directory=/etc", f"directory={tmp_path}/etc")
    subprocess.run(["bash", "-euc", script], cwd=ROOT, check=True)
    there = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert there == {
        "etc/sysusers.d/pageroles.conf",
        "usr/local/bin/pageroles",
        *(f"etc/pageroles/{file.name}" for file in UNITS.glob("*.env")),
        *(f"etc/systemd/system/{file.name}" for file in [*SERVICES, *UNITS.glob("*.timer")]),
    }
    assert {settings(unit.name)["EnvironmentFile"].removeprefix("/") for unit in SERVICES} <= there
    assert os.access(tmp_path / "usr/local/bin/pageroles", os.X_OK)


def test_the_command_of_operators_has_the_settings_of_the_server(machine: Machine) -> None:
    script = machine.here((UNITS / "pageroles.sh").read_text())
    as_the_user = "runuser -u pageroles -- "
    assert as_the_user in script
    (machine.root / "etc/pageroles.env").write_text(machine.here((UNITS / "pageroles.env").read_text()))
    told = subprocess.run(
        ["sh", "-c", script.replace(as_the_user, ""), "pageroles", "config", "--json"], cwd=machine.root,
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    values = {setting["variable"]: setting["value"] for setting in json.loads(told.stdout)}
    assert values["PAGEROLES_STORE"] == f"chdb://{machine.root}/lib/pageroles/store"
    assert values["PAGEROLES_METRICS_ADDRESS"] == "127.0.0.1:9464"


def test_a_server_starts_rereads_is_backed_up_and_stops(machine: Machine) -> None:
    old, young, other = (
        machine.root / "lib/pageroles-backups" / name for name in ("2020-01-01T00", "2020-01-02T00", "x")
    )
    for folder in (old, young, other):
        folder.mkdir()
    for folder in (old, other):
        os.utime(folder, (then := time.time() - 15 * 86_400, then))
    with machine.started("pageroles.service") as (process, line):
        assert requests.get(f"http://{line['http']}/readyz", timeout=PATIENCE).status_code == 200
        assert (machine.root / "lib/pageroles/store/server.sock").is_socket()
        subprocess.run(machine.command("pageroles.service", "ExecReload", MAINPID=process.pid), check=True)
        assert machine.line(process, "keys and quotas are read again")
        machine.finish("pageroles-backup.service", "ExecStart")
        machine.finish("pageroles-backup.service", "ExecStartPost")
    left = {folder.name: folder for folder in (machine.root / "lib/pageroles-backups").iterdir()}
    assert not left.keys() & {old.name}
    assert left.keys() >= {young.name, other.name}
    (made,) = (folder for name, folder in left.items() if name not in {young.name, other.name})
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d-\d\d-\d\d", made.name)
    assert run(machine.root, "restore", str(made)).returncode == 0


def test_a_gateway_starts_and_stops(machine: Machine) -> None:
    with machine.started("pageroles.service") as (_, server):
        behind = Machine(machine.root / "etc")
        with behind.started("pageroles-gateway.service", PAGEROLES_TARGET=server["grpc"]) as (_, line):
            assert requests.get(f"http://{line['http']}/readyz", timeout=PATIENCE).status_code == 200


def test_a_store_can_be_named_by_a_credential(machine: Machine) -> None:
    """As a drop-in of docs/operating.md does: the password of a ClickHouse server stays out of variables and `ps`."""
    credential = machine.root / "etc/store"
    credential.write_text(f"chdb://{machine.root}/elsewhere\n")
    with machine.started("pageroles.service", PAGEROLES_STORE=f"@{credential}"):
        assert (machine.root / "elsewhere/server.sock").is_socket()


def test_a_setting_that_cannot_be_read_ends_with_the_code_that_is_not_started_again(machine: Machine) -> None:
    environment = {**machine.environment("pageroles.service"), "PAGEROLES_MAX_SECONDS": "many"}
    done = subprocess.run(
        machine.command("pageroles.service", "ExecStart"), env=environment, cwd=machine.root, capture_output=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert str(done.returncode) == settings("pageroles.service")["RestartPreventExitStatus"]


def test_an_address_in_no_file_system_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.settimeout(PATIENCE)
        told.bind("")  # the system chooses one
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{told.getsockname()[1:].decode()}")
        processes.tell_supervisor("READY=1")
        assert told.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/no/such/socket"])
def test_nobody_who_listens_is_no_fault(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    processes.tell_supervisor("READY=1")
