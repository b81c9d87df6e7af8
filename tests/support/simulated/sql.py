"""The SQL that pageroles sends, as functions over rows in Python.

It knows the forms and the functions that the project's statements use, and refuses all others loudly: who writes a new
kind of statement teaches it here. Times are numbers, in the unit of their column; a row is a dict by column.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pageroles import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Row = dict[str, Any]


class UntaughtError(Exception):
    """A statement has what nobody has taught."""


class Rows(Protocol):
    """What statements read."""

    def rows(self, table: str, *, final: bool, parts: Sequence[str] | None) -> Iterable[Row]:
        """Return the rows of a table, of some of its parts or of all; `final`: of each key the last version."""


class Result(NamedTuple):
    names: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]


_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<number>\d+)|(?P<param>\{\w+:[^}]+\})"
    r"|(?P<name>(?:`[^`]+`|[A-Za-z_]\w*)(?:\.(?:`[^`]+`|[A-Za-z_]\w*))*)|(?P<op>->|!=|<=|>=|[=<>(),\[\]+*-]))"
)
_END_OF_SOURCE = {"FINAL", "PREWHERE", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION", "SETTINGS", "ARRAY", "AS"}

Token = tuple[str, str]


def tokens(text: str) -> list[Token]:
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise UntaughtError(f"{text[at : at + 40]!r} in {text}")
        kind = str(match.lastgroup)
        found.append((kind, match[kind].replace("`", "") if kind == "name" else match[kind]))
        at = match.end()
    return found


# ---- functions ----


@functools.lru_cache(maxsize=100_000)
def sip_hash(text: str) -> int:
    return _core.keys([text])[0]


def canonical(url: str) -> str:
    """Return the canonical page of a URL."""
    return re.split("[?#]", url, maxsplit=1)[0].rstrip("/") or "/"


def _null_safe(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda value, *_: None if value is None else function(value)


def _array_filter(function: Callable[..., bool], *arrays: Sequence[Any]) -> list[Any]:
    return [values[0] for values in zip(*arrays, strict=True) if function(*values)]


_same = _null_safe(lambda value: value)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sipHash64": sip_hash,
    "fromUnixTimestamp64Milli": _same,
    "toUnixTimestamp64Milli": _same,
    "toUnixTimestamp64Micro": _same,
    "toDate": lambda milliseconds: milliseconds // 86_400_000,
    "toUInt8": int,
    "toUInt32": int,
    "toUInt64": int,
    "length": len,
    "isNotNull": lambda value: value is not None,
    "bitAnd": lambda one, other: int(one) & int(other),
    "bitShiftRight": lambda number, bits: number >> bits,
    "emptyArrayUInt64": list,
    "emptyArrayUInt32": list,
    "arrayCount": lambda function, *arrays: sum(map(bool, map(function, *arrays))),
    "arrayFilter": _array_filter,
    "arrayMap": lambda function, *arrays: list(map(function, *arrays)),
    "arrayConcat": lambda *arrays: [item for array in arrays for item in array],
    "trimRight": lambda text, characters: text.rstrip(characters),
    "cutQueryString": lambda text: text.split("?", 1)[0],
    "cutFragment": lambda text: text.split("#", 1)[0],
    "empty": lambda value: not value,
    "has": lambda array, value: value in array,
    "toIntervalSecond": lambda seconds: seconds * 1_000_000,
    "toDateTime64": lambda seconds, *_: seconds * 1000,
    # What it makes of a row, `Select` does.
    "arrayJoin": list,
    "max": max,
}
# The types of what they return; of others, that of an argument by its position.
_RETURNS: dict[str, str | int] = {
    "sipHash64": "UInt64", "fromUnixTimestamp64Milli": "DateTime64", "toUnixTimestamp64Milli": "Int64",
    "toUnixTimestamp64Micro": "Int64", "toUInt8": "UInt8", "toUInt32": "UInt32", "toUInt64": "UInt64",
    "length": "UInt64", "emptyArrayUInt64": "Array(UInt64)", "emptyArrayUInt32": "Array(UInt32)",
    "arrayFilter": 1, "arrayConcat": 0, "count": "UInt64", "countIf": "UInt64", "uniqExact": "UInt64", "min": 0,
    "max": 0, "any": 0, "sum": "Int64", "if": 1, "arrayMap": "Array(UInt64)", "toDateTime64": "DateTime64",
    "bitShiftRight": 0, "trimRight": "String",
    "argMax": 0, "groupUniqArray": "Array(UInt64)",
}  # fmt: skip


# ---- expressions ----


class Expression(NamedTuple):
    """An expression as Python's source, over a row `r`, the values `p`, subqueries `q` and a group `g`."""

    source: str
    type: str
    is_aggregate: bool = False


@dataclasses.dataclass
class Parser:
    """Reads a statement from its tokens."""

    types: Callable[[str], str]
    left: list[Token]
    at: int = 0
    alias: str = ""
    # What is selected under a name: it can be used in other places.
    named: dict[str, Expression] = dataclasses.field(default_factory=dict)
    subqueries: list[Query] = dataclasses.field(default_factory=list)

    # ---- tokens ----

    def peek(self, ahead: int = 0) -> str:
        return self.left[self.at + ahead][1] if self.at + ahead < len(self.left) else ""

    def take(self, *wanted: str) -> bool:
        """Go past some words, if they come next."""
        if all(self.peek(ahead) == word for ahead, word in enumerate(wanted)):
            self.at += len(wanted)
            return True
        return False

    def expect(self, *wanted: str) -> None:
        if not self.take(*wanted):
            raise UntaughtError(f"{' '.join(wanted)} wanted, not {[text for _, text in self.left[self.at :]][:8]}")

    def next(self) -> Token:
        self.at += 1
        return self.left[self.at - 1]

    def listed(self, item: Callable[[], Any]) -> list[Any]:
        found = [item()]
        while self.take(","):
            found.append(item())
        return found

    # ---- expressions ----

    def expression(self, scope: frozenset[str] = frozenset()) -> Expression:
        left = self._and(scope)
        while self.take("OR"):
            left = _joined(left, "or", self._and(scope), "UInt8")
        return left

    def _and(self, scope: frozenset[str]) -> Expression:
        left = self._not(scope)
        while self.take("AND"):
            left = _joined(left, "and", self._not(scope), "UInt8")
        return left

    def _not(self, scope: frozenset[str]) -> Expression:
        if self.take("NOT"):
            inner = self._not(scope)
            return Expression(f"(not {inner.source})", "UInt8", inner.is_aggregate)
        left = self._sum(scope)
        for sign, python in (("=", "=="), ("!=", "!="), ("<", "<"), ("<=", "<="), (">", ">"), (">=", ">=")):
            if self.take(sign):
                return _joined(left, python, self._sum(scope), "UInt8")
        negated = self.take("NOT")
        self.take("GLOBAL")
        if self.take("IN"):
            return _joined(left, "not in" if negated else "in", self._set(scope), "UInt8")
        return left

    def _set(self, scope: frozenset[str]) -> Expression:
        if self.peek() == "(" and self.peek(1) in {"SELECT", "("}:
            return Expression(f"q[{self._subquery()}].set()", "Set")
        return self._sum(scope)

    def _subquery(self) -> int:
        self.expect("(")
        self.subqueries.append(Query.read(self))
        self.expect(")")
        return len(self.subqueries) - 1

    def _sum(self, scope: frozenset[str]) -> Expression:
        left = self._primary(scope)
        while self.peek() in {"+", "-"}:
            left = _joined(left, self.next()[1], self._primary(scope), left.type)
        return left

    def _primary(self, scope: frozenset[str]) -> Expression:
        kind, text = self.next()
        if kind == "name":
            return self._called(text, scope) if self.take("(") else self._named(text, scope)
        if text == "(":
            return self._in_parentheses(scope)
        if kind == "string":
            return Expression(repr(re.sub(r"\\(.)", r"\1", text[1:-1])), "String")
        if kind == "param":
            name, _, of = text[1:-1].partition(":")
            return Expression(f"p[{name!r}]", of)
        if kind != "number":
            raise UntaughtError(text)
        return Expression(text, "UInt8")

    def _in_parentheses(self, scope: frozenset[str]) -> Expression:
        if self.peek() == "SELECT":
            self.at -= 1
            return Expression(f"q[{self._subquery()}].value()", "UInt64")
        inner = self.listed(lambda: self.expression(scope))
        self.expect(")")
        return inner[0] if len(inner) == 1 else Expression(f"({', '.join(each.source for each in inner)})", "Tuple")

    def _named(self, text: str, scope: frozenset[str]) -> Expression:
        if text in scope:
            return Expression(f"v_{text}", "UInt64")
        if text == "true":
            return Expression("True", "UInt8")
        name = text.removeprefix(f"{self.alias}.") if self.alias else text
        if text in self.named:
            return self.named[text]
        return Expression(f"r[{name!r}]", self.types(name))

    def _called(self, name: str, scope: frozenset[str]) -> Expression:
        if name == "CAST":
            inner = self.expression(scope)
            self.expect("AS")
            of = self.next()[1]
            self.expect(")")
            return Expression(f"int({inner.source})", of, inner.is_aggregate)
        given = [] if self.peek() == ")" else self.listed(lambda: self._argument(scope))
        self.expect(")")
        sources, is_aggregate = [each.source for each in given], any(each.is_aggregate for each in given)
        if name == "if":
            return Expression(f"({sources[1]} if {sources[0]} else {sources[2]})", given[1].type, is_aggregate)
        returned = _RETURNS.get(name, "UInt8")
        of = given[returned].type if isinstance(returned, int) else returned
        if of == "Int64" and given and given[0].type.startswith("Nullable("):
            of = "Nullable(Int64)"
        if name in _AGGREGATED and not scope:
            return Expression(_aggregated(name, sources), of, is_aggregate=True)
        if name == "now64":
            return Expression("q.now()", "DateTime64")
        if name not in FUNCTIONS:
            raise UntaughtError(f"the function {name}")
        return Expression(f"F[{name!r}]({', '.join(sources)})", of, is_aggregate)

    def _argument(self, scope: frozenset[str]) -> Expression:
        """Read an argument, which may be a lambda."""
        names: list[str] = []
        if self.peek(1) == "->":
            names = [self.next()[1]]
        elif self.peek() == "(":
            ahead = next(ahead for ahead in range(1, len(self.left)) if self.peek(ahead) == ")")
            if self.peek(ahead + 1) == "->":
                names = [text for _, text in self.left[self.at + 1 : self.at + ahead] if text != ","]
                self.at += ahead + 1
        if not names:
            return self.expression(scope)
        self.expect("->")
        body = self.expression(scope | set(names))
        return Expression(f"(lambda {', '.join(f'v_{name}' for name in names)}: {body.source})", body.type)


def _joined(left: Expression, sign: str, right: Expression, of: str) -> Expression:
    return Expression(f"({left.source} {sign} {right.source})", of, left.is_aggregate or right.is_aggregate)


_AGGREGATED = {
    "count": "len(g)",
    "countIf": "sum(bool({one}) for r in g)",
    "uniqExact": "len({{{one} for r in g}})",
    "groupUniqArray": "sorted({{{one} for r in g}})",
    "any": "next({one} for r in g)",
    "argMax": "max(g, key=lambda r: {last})[{column!r}]",
    "sum": "sum({one} for r in g)",
    "min": "min(({one} for r in g), default=0)",
    "max": "max(({one} for r in g), default=0)",
}


def _aggregated(name: str, sources: list[str]) -> str:
    """Return the source of an aggregate of some expressions over the group `g`."""
    first, last = (sources[0], sources[-1]) if sources else ("", "")
    one = first if len(sources) < 2 else f"({', '.join(sources)})"
    return _AGGREGATED[name].format(one=one, last=last, column=first[3:-2])


# ---- queries ----

_Compiled = Any


def _compiled(source: str) -> _Compiled:
    return eval(f"lambda r, p, q, g: {source}", {"F": FUNCTIONS, "max": max, "min": min})  # noqa: S307 - our own source


class _Subqueries(list[Any]):
    """The subqueries of a query that runs, each of which runs once."""

    def __init__(self, queries: Sequence[Query], rows: Rows, values: Mapping[str, Any], now: Callable[[], int]) -> None:
        super().__init__(_Ran(query, rows, values, now) for query in queries)
        self.now = now


class _Ran:
    def __init__(self, query: Query, *given: Any) -> None:
        self._run = functools.cache(lambda: query.run(*given).rows)

    @functools.cached_property
    def _set(self) -> frozenset[Any]:
        return frozenset(row[0] if len(row) == 1 else row for row in self._run())

    def set(self) -> frozenset[Any]:
        return self._set

    def value(self) -> Any:
        return self._run()[0][0]


@dataclasses.dataclass
class Select:
    """One SELECT."""

    names: list[str]
    types: list[str]
    columns: list[_Compiled]
    exploded: int | None
    table: str | Query | None
    final: bool
    joined: tuple[str, _Compiled] | None
    where: _Compiled | None
    of_parts: str | None
    group: list[_Compiled] | None
    having: _Compiled | None
    order: list[tuple[_Compiled, bool]]
    limit: _Compiled | None
    distinct: bool
    subqueries: list[Query]

    def run(self, rows: Rows, values: Mapping[str, Any], now: Callable[[], int]) -> list[tuple[Any, ...]]:
        q = _Subqueries(self.subqueries, rows, values, now)
        groups = self._groups(self._found(rows, values, q), values, q)
        for key, descending in reversed(self.order):
            groups.sort(key=lambda item, key=key: key(item[0], values, q, item[1]), reverse=descending)  # type: ignore[misc]
        made = [tuple(column(r, values, q, g) for column in self.columns) for r, g in groups]
        if self.exploded is not None:
            at = self.exploded
            made = [(*row[:at], item, *row[at + 1 :]) for row in made for item in row[at]]
        if self.distinct:
            made = list(dict.fromkeys(made))
        return made if self.limit is None else made[: self.limit({}, values, q, [])]

    def _found(self, rows: Rows, values: Mapping[str, Any], q: _Subqueries) -> list[Row]:
        """Return the rows that pass the conditions."""
        found: list[Row] = [{}]
        if isinstance(self.table, Query):
            inner = self.table.run(rows, values, q.now)
            found = [dict(zip(inner.names, row, strict=True)) for row in inner.rows]
        elif self.table is not None:
            parts = values[self.of_parts] if self.of_parts else None
            found = list(rows.rows(self.table, final=self.final, parts=parts))
        if self.joined is not None:
            name, items = self.joined
            found = [{**r, name: item} for r in found for item in items(r, values, q, [])]
        return found if self.where is None else [r for r in found if self.where(r, values, q, [])]

    def _groups(self, found: list[Row], values: Mapping[str, Any], q: _Subqueries) -> list[tuple[Row, list[Row]]]:
        """Return each group by its first row; without groups, each row."""
        groups: list[tuple[Row, list[Row]]] = [(r, []) for r in found]
        if self.group is not None:
            by_key: dict[Any, list[Row]] = {} if self.group else {(): []}
            for r in found:
                by_key.setdefault(tuple(_frozen(key(r, values, q, [])) for key in self.group), []).append(r)
            groups = [(group[0] if group else {}, group) for group in by_key.values()]
        if self.having is not None:
            groups = [(r, g) for r, g in groups if self.having(r, values, q, g)]
        return groups


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclasses.dataclass
class Query:
    """SELECTs whose rows come one after the other."""

    selects: list[Select]
    settings: dict[str, str]

    @classmethod
    def read(cls, parser: Parser) -> Query:
        selects = [_select(parser)]
        while parser.take("UNION", "ALL"):
            selects.append(_select(parser))
        settings: dict[str, str] = {}
        if parser.take("SETTINGS"):
            settings = dict(parser.listed(lambda: _setting(parser)))
        return cls(selects, settings)

    def run(self, rows: Rows, values: Mapping[str, Any], now: Callable[[], int]) -> Result:
        first = self.selects[0]
        return Result(first.names, first.types, [row for each in self.selects for row in each.run(rows, values, now)])


def _setting(parser: Parser) -> tuple[str, str]:
    name = parser.next()[1]
    parser.expect("=")
    return name, parser.next()[1].strip("'")


def _select(outer: Parser) -> Select:
    parser = Parser(outer.types, outer.left, outer.at)
    parser.expect("SELECT")
    distinct = parser.take("DISTINCT")
    start = parser.at
    parser.alias = _alias_ahead(parser)
    parser.at = start
    items = parser.listed(lambda: _item(parser))
    table: str | Query | None = None
    final, joined = False, None
    if parser.take("FROM"):
        if parser.take("("):
            table = Query.read(parser)
            parser.expect(")")
        else:
            table = parser.next()[1]
        if parser.take("AS"):
            parser.next()
        final = parser.take("FINAL")
        if parser.take("ARRAY", "JOIN"):
            source = parser.expression()
            parser.expect("AS")
            joined = (parser.next()[1], _compiled(source.source))
    conditions = [parser.expression() for word in ("PREWHERE", "WHERE") if parser.take(word)]
    where = " and ".join(each.source for each in conditions)
    group = parser.listed(parser.expression) if parser.take("GROUP", "BY") else None
    having = parser.expression() if parser.take("HAVING") else None
    order = (
        parser.listed(lambda: (_compiled(parser.expression().source), parser.take("DESC")))
        if (parser.take("ORDER", "BY"))
        else []
    )
    limit = parser.expression() if parser.take("LIMIT") else None
    is_grouped = group is not None or any(item.is_aggregate for _, item in items)
    exploded = next((at for at, (_, item) in enumerate(items) if item.source.startswith("F['arrayJoin']")), None)
    # What ClickHouse reads of some parts alone, it takes the last versions of among these parts.
    restricted = re.search(r"(?:^\(?|and )\(r\['_part'\] in p\['(\w+)'\]\)", where) if final else None
    outer.at = parser.at
    return Select(
        names=[name for name, _ in items],
        types=[item.type for _, item in items],
        columns=[_compiled(item.source) for _, item in items],
        exploded=exploded,
        table=table,
        final=final,
        joined=joined,
        where=_compiled(where) if where else None,
        of_parts=restricted[1] if restricted else None,
        group=[_compiled(each.source) for each in group or []] if is_grouped else None,
        having=_compiled(having.source) if having else None,
        order=order,
        limit=_compiled(limit.source) if limit else None,
        distinct=distinct,
        subqueries=parser.subqueries,
    )


def _item(parser: Parser) -> tuple[str, Expression]:
    start = parser.at
    item = parser.expression()
    if parser.take("AS"):
        name = parser.next()[1]
        parser.named[name] = item
        return name, item
    text = " ".join(token for _, token in parser.left[start : parser.at])
    return text.removeprefix(f"{parser.alias}.") if parser.alias else text, item


def _alias_ahead(parser: Parser) -> str:
    """Return the alias of the table of a SELECT whose list comes next; empty where it has none."""
    depth = 0
    while parser.at < len(parser.left):
        kind, text = parser.next()
        depth += (text == "(") - (text == ")") if kind == "op" else 0
        if depth < 0:
            return ""
        if text == "FROM" and not depth:
            # Past the table, which may be a query in parentheses.
            while True:
                _, text = parser.next()
                depth += (text == "(") - (text == ")")
                if not depth:
                    break
            return parser.peek(1) if parser.peek() == "AS" else ""
    return ""


@functools.lru_cache(maxsize=5000)
def read(text: str, types: Callable[[str], str]) -> Query:
    """Read a query.

    Raises:
        UntaughtError: Nobody has taught what it has.
    """
    parser = Parser(types, tokens(text))
    query = Query.read(parser)
    if parser.at != len(parser.left):
        raise UntaughtError(f"{[word for _, word in parser.left[parser.at :]][:8]} in {text}")
    return query


def holds(text: str, types: Callable[[str], str], rows: Rows, now: Callable[[], int]) -> Callable[[Row], bool]:
    """Return a condition as a function of a row."""
    parser = Parser(types, tokens(text))
    made = _compiled(parser.expression().source)
    q = _Subqueries(parser.subqueries, rows, {}, now)
    return lambda row: bool(made(row, {}, q, []))


_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'|(-?\d+)|NULL")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}


def value(text: str, of: str) -> Any:
    """Read a value that came with a query, as its type has it."""
    if of.startswith("Array("):
        found = (match for match in _LITERAL.finditer(text))
        return [int(match[2]) if match[2] else unescaped(match[1]) for match in found]
    if of == "Date":
        year, month, day = map(int, text.split("-"))
        return (year, month, day)
    return unescaped(text) if of == "String" else int(text)


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)


def types_of_values(text: str) -> dict[str, str]:
    """Return the types of the values that a statement names."""
    return dict(re.findall(r"\{(\w+):([^}]+)\}", text))
