"""What is shown is data: no text is taken for markup or reaches the terminal as a control code, and none is lost."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from pageroles import command
from pageroles.access.keys import ApiKey, Permission
from pageroles.client import Conversion, Days, FilterValue, RoleCount, Session
from pageroles.command import app, comparing, progress, shown, tables
from pageroles.command.processes import set_up_logs
from pageroles.errors import SettingError
from pageroles.ingest import loader
from pageroles.question.roles import CONVERSION_ROLES, DROP_OFF_ROLES
from pageroles.sentences import counted, escaped, escaped_json
from pageroles.store.damage import Finding
from pageroles.telemetry.log import escape_text
from pageroles.v1 import pages_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

NASTY = [
    "https://x.example/page[/url]",
    "https://x.example/discover/[slug]",
    "[red]https://x.example/[/]",
    'pip install "pageroles[embedded]"',
    ":warning: \\[bold]",
    "https://x.example/\x1b[31mred\x1b]8;;https://evil.example\x07",
    "https://x.example/\x9b31m",
    "https://x.example/\u202egpj.exe\u2066\u200b",
    "two\nlines\r\tand a tab",
    "half of a character: \ud83d \udcff",
    "https://x.example/日本語/👩‍👩‍👧/é",
    "",
]
texts = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=()), max_size=60) | st.text("[/]\\=@ a\x1b")
encodings = st.sampled_from(["utf-8", "ascii", "cp1252", "utf-16"])
widths = st.integers(4, 200)
STYLES = re.compile(r"\x1b\[[\d;]*m")


def written(
    print_it: Callable[[Console], None], *, encoding: str = "utf-8", width: int = 120, colour: bool = False
) -> str:
    """Return what is written to a standard output of some encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        patch.delenv("NO_COLOR", raising=False)
        if colour:
            patch.setenv("FORCE_COLOR", "1")
            patch.setenv("TERM", "xterm-256color")
        shown.accept_any_text()
        console = shown.console()
        console.width = width
        print_it(console)
        stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def table(renderable: RenderableType, **more: Any) -> str:
    return written(lambda console: console.print(renderable), **more)


def controls(text: str, *, colour: bool = False) -> set[str]:
    """Return the characters of a text, but for ends of lines, that a terminal may obey or hide."""
    left = STYLES.sub("", text) if colour else text
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return {
        each
        for each in left
        if unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} or unicodedata.bidirectional(each) in turning
    } - {"\n"}


def restored(text: str) -> str:
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def answer(urls: list[str]) -> Any:
    count = {"sessions": 1, "users": 1}
    return {
        "time_frame": {"start": "2025-07-01T00:00:00Z", "end": "2025-07-31T23:59:59Z"},
        "summary_totals": {
            "total_sessions": 1, "total_users": 1, "total_conversion_events": 2, "total_conversion_users": 1,
        },
        "conversion_performance": [{"url": url, **dict.fromkeys(CONVERSION_ROLES, count)} for url in urls],
        "drop_off_performance": [{"url": url, **dict.fromkeys(DROP_OFF_ROLES, count)} for url in urls],
    }  # fmt: skip


@given(texts, encodings, widths)
def test_a_text_of_a_table_is_whole_at_any_width(text: str, encoding: str, width: int) -> None:
    seen = table(shown.Data(text), encoding=encoding, width=width)
    assert not controls(seen)
    assert all(cell_len(line) <= width for line in seen.split("\n"))
    assert seen.replace("\n", "") == escaped(text, encoding)
    if "\\" not in text:
        assert restored(escaped(text, encoding)) == text


@given(st.lists(texts, max_size=4), encodings, widths, st.booleans())
def test_a_table_of_any_urls_is_drawn(urls: list[str], encoding: str, width: int, colour: bool) -> None:
    body = answer(urls)
    seen = table(tables.answer(body, rows=3), encoding=encoding, width=width, colour=colour)
    assert not controls(seen, colour=colour)
    wide = table(tables.answer(body, rows=9), encoding=encoding, width=2_000)
    for url in urls:
        assert escaped(url, encoding) in wide


@given(texts, encodings)
def test_a_fault_is_one_line_and_whole(text: str, encoding: str) -> None:
    def fail() -> None:
        raise SettingError(text)

    def end(_: Console) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app, "app", fail)
            with pytest.raises(SystemExit) as exit_:
                app.main()
        assert exit_.value.code == 1

    assert written(end, encoding=encoding) == f"pageroles: {escaped(text, encoding)}\n"


@given(texts, encodings, widths)
def test_findings_and_progress_take_any_text(text: str, encoding: str, width: int) -> None:
    def show(console: Console) -> None:
        console.print(tables.findings([Finding("kind", text, "", 1, (text, text))], None))
        hint: Any = {"field": "source", "value": text, "sessions": 1, "sentence": text}
        console.print(tables.answer({"message": text, "hints": [hint]}, rows=1))
        with progress.bar(console) as report:
            report(loader.Progress(text, 1, 2, 1, 1))

    assert not controls(written(show, encoding=encoding, width=width))


@given(texts, encodings, widths)
def test_sessions_values_days_and_changes_take_any_text(text: str, encoding: str, width: int) -> None:
    at, one = datetime(2025, 7, 1, tzinfo=UTC), RoleCount(1, 1)
    session = Session(text, text, at, (text, text), (Conversion(text, text, text, at),))
    day = pages_pb2.PageDay(date="2025-07-01", landing=pages_pb2.RoleCount(sessions=1))
    row = comparing.Row(text, "now", (comparing.Change(2, 1),) * 3)
    shown_ = (
        tables.sessions(RoleCount(3, 1), [session]),
        tables.values("source", [FilterValue(text, 1)]),
        tables.days(Days(pages_pb2.PageDaysResponse(days=[day]), has_page=True), text),
        tables.compared("title", [row], CONVERSION_ROLES, 1),
        tables.sessions(one, []),
    )
    for each in shown_:
        assert not controls(table(each, encoding=encoding, width=width))
    wide = "".join(table(each, encoding=encoding, width=2_000) for each in shown_)
    assert wide.count(escaped(text, encoding)) >= 5


@given(st.dictionaries(st.sampled_from(["event", "domain", "request_id", "error"]), texts, min_size=1))
@example({"event": "request", "domain": "a\nlevel=error\x1b[2J", "request_id": "\x9b\u2028\u202e"})
def test_a_line_of_the_log_stays_one_line(event: dict[str, str]) -> None:
    event.setdefault("event", "request")
    seen = str(structlog.dev.ConsoleRenderer(colors=False)(None, "info", escape_text(None, "info", dict(event))))
    assert not controls(seen)
    assert "\n" not in seen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_the_log_of_a_process_stays_in_its_lines(stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = stream()
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("atexit.register", at_exit.append)
    try:
        set_up_logs("info")
        structlog.get_logger().info("request", domain="a\nb\x1b]0;title\x07\u202e", request_id="\x9b31m")
    finally:
        structlog.reset_defaults()
    at_exit[0]()
    (line,) = STYLES.sub("", terminal.getvalue()).splitlines()
    assert not controls(line)
    assert "title" in line


def test_a_traceback_in_the_log_keeps_its_lines() -> None:
    event = escape_text(
        None, "error", {"event": "request", "exception": "Traceback\n  line\x1b[2J", "milliseconds": 1.5}
    )
    assert event == {"event": "request", "exception": "Traceback\n  line\\x1b[2J", "milliseconds": 1.5}


@given(texts)
def test_json_holds_the_same_value_without_control_codes(text: str) -> None:
    body = json.dumps({"url": text.encode(errors="replace").decode()}, ensure_ascii=False, indent=2).encode()
    harmless = escaped_json(body)
    assert not controls(harmless.decode())
    assert json.loads(harmless) == json.loads(body)


def test_a_plain_text_is_no_markup() -> None:
    assert table("[red]:warning: 12[/]", colour=True) == "[red]:warning: 12[/]\n"


def test_urls_break_at_their_slashes() -> None:
    url = "https://www.example.com/magazine/2025/how-to-choose-a-bicycle/part-two"
    seen = table(tables.answer(answer([url]), rows=1), width=70)
    first = [line.split("  ")[0].strip() for line in seen.splitlines()]
    at = first.index("https://www.example.com/magazine/")
    assert first[at : at + 3] == ["https://www.example.com/magazine/", "2025/how-to-choose-a-bicycle/", "part-two"]


def test_one_of_a_thing_is_no_plural() -> None:
    assert "1 session of 1 user; 2 conversions of 1 user" in table(tables.answer(answer([]), rows=1))
    assert [counted(number, "session") for number in (0, 1, 2_000)] == ["0 sessions", "1 session", "2,000 sessions"]
    assert counted(2, "batch", "batches") == "2 batches"
    assert "; 1 more page " in table(tables.answer(answer(["/a", "/b"]), rows=1))


@pytest.mark.parametrize(
    "typed",
    [
        ["report", "--key", "k", "--touch-scope", "[/]\x1b]0;title\u202e"],
        ["serve", "--keep-days", "[/]\x1b]0;title\u202e=5", "--keep-days", "[/]\x1b]0;title\u202e=5"],
        ["report", "--key", "k", "--\x1b]0;title\u202erows[/]"],
        ["load", "--store", "chdb:///nowhere", "a", "--no[/]\x1b]0;title\u202e"],
        ["\x1b]0;title\u202e[/]"],
        ["--\x1b]0;title\u202e[/]"],
        ["version", "\x1b]0;title\u202e[/]"],
    ],
)
def test_what_was_typed_is_repeated_harmless_and_whole(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pageroles", *typed])

    def end(_: Console) -> None:
        with pytest.raises(SystemExit) as exit_:
            app.main()
        assert exit_.value.code == 2

    seen = STYLES.sub("", written(end, colour=True))
    assert not controls(seen)
    assert "]0;title" in seen
    assert "[/]" in seen


@pytest.mark.parametrize(
    "typed",
    [
        ["keys", "create", "--domain", "\udcff"],
        ["report", "--key", "k", "--source", "\udcff"],
        ["load", "--store", "chdb:///\udcff", "a"],
    ],
)
def test_what_is_no_utf8_is_refused(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pageroles", *typed])

    def end(_: Console) -> None:
        with pytest.raises(SystemExit) as exit_:
            app.main()
        assert exit_.value.code == 1

    assert re.match(r"pageroles: .*\\udcff.* UTF-8", written(end))


def test_only_one_module_makes_consoles() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in Path(command.__path__[0]).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Console", "Text.from_markup"))
    ]
    assert [each.split(":")[0] for each in found] == ["shown.py"]


@pytest.mark.parametrize("width", [40, 60, 80, 110])
def test_days_and_ids_stay_whole_at_any_width(width: int) -> None:
    """They are what one reads a line by, or copies."""
    message = pages_pb2.PageDaysResponse(days=[pages_pb2.PageDay(date="2025-07-31", roles={}, landing={})])
    seen = table(tables.days(Days(message, has_page=True), "https://example.com/a"), width=width)
    assert seen.count("2025-07-31") == 2
    created = datetime(2025, 7, 31, tzinfo=UTC)
    key = ApiKey("0123456789ab", "example.com", False, created, None, "a name", None, (Permission.REPORT,), "hash")
    seen = table(tables.keys([key], {}), width=width)
    assert "0123456789ab" in seen
    assert "2025-07-31" in seen
