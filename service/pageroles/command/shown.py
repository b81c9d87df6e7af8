"""How the command shows text: all of it is data.

No text of visitors, callers, operators or servers is taken for markup, and none reaches the terminal as a control code.
Lines are printed by `say`; what stands in a table is `Data`. Only this module makes consoles.
"""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from pageroles.sentences import escaped

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderResult

# What stays together in a line: up to the slashes or spaces behind it.
_PIECES = re.compile(r"[^/ ]*[/ ]+|[^/ ]+")


def console(*, stderr: bool = False) -> Console:
    """Return a console that writes to standard output or standard error, and takes text as it is."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def accept_any_text() -> None:
    """Let standard output and standard error write escapes for what their encoding can't hold."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(to: Console, *parts: str | tuple[str, str]) -> None:
    """Print one line, which the terminal may wrap.

    Args:
        to: Where to print.
        parts: Texts, or texts with a style, such as `("12", "bold")`.
    """
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    to.print(Text.assemble(*((escaped(text, to.encoding), style) for text, style in styled)), soft_wrap=True)


class Data:
    """A text in a table: as it is, and cut behind slashes and spaces where it is too long for a line."""

    def __init__(self, text: str, style: str = "") -> None:
        """Show `text` in a style of rich."""
        self._text = text
        self._style = style

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the widths of the longest piece and of the whole text."""
        pieces = _PIECES.findall(escaped(self._text, console.encoding))
        widths = [cell_len(piece) for piece in pieces]
        return Measurement(max(widths, default=0), sum(widths)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give the lines."""
        lines = _lines(escaped(self._text, console.encoding), max(options.max_width, 1))
        yield Text("\n".join(lines), self._style, no_wrap=True, overflow="ignore")


def _lines(text: str, width: int) -> list[str]:
    """Cut a text into lines of at most `width` cells; only a piece that is longer itself is cut inside."""
    lines = [""]
    for piece in _PIECES.findall(text):
        if cell_len(lines[-1]) + cell_len(piece) <= width:
            lines[-1] += piece
        else:
            lines += chop_cells(piece, width)
    return lines if lines[0] else lines[1:] or [""]
