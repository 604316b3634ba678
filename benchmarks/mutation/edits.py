"""Small faults of a Python source, as text edits: what `mutants.py` plants, one at a time, to see whether a test fails.

A mutation changes behaviour, never wording: docstrings, annotations, decorators, raised messages, f-strings, logging, warnings,
`__repr__`, `__str__`, `if TYPE_CHECKING` and `if __name__ == "__main__"` are left alone. Edits keep the text around them, so a
survivor can be shown as the old and the new line. Knows nothing of the package whose sources it reads.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

BORDERS = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "=="}
MEMBERSHIP = {ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in"}
ARITHMETIC = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "*"}
SYMBOLS: dict[type[ast.AST], str] = {
    **{ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="},
    **{ast.Is: r"is", ast.IsNot: r"is\s+not", ast.In: r"in", ast.NotIn: r"not\s+in"},
    **{ast.Add: r"\+", ast.Sub: "-", ast.Mult: r"\*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"},
    **{ast.And: "and", ast.Or: "or"},
}
SPEAKERS = {"logger", "log", "logging", "warnings", "warn", "print", "console"}
UNTOUCHED = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, order=True)
class Mutation:
    """Bytes `start` to `end` of the source become `text`. A test meets it if it executes one of `lines` (first, last).

    `lines` is None where the code runs when its module is imported (constants, class fields), so that no line says who meets it.
    """

    start: int
    end: int
    text: str
    kind: str
    line: int
    lines: tuple[int, int] | None


def mutations(source: str) -> list[Mutation]:
    """Every mutation of a module's source, in source order. Not all compile: see `mutated`."""
    return sorted(set(_Finder(source).found(ast.parse(source))))


def mutated(source: str, mutation: Mutation) -> str | None:
    """The source with the mutation made, or None if it does not compile or means what it meant before."""
    data = source.encode()
    text = (data[: mutation.start] + mutation.text.encode() + data[mutation.end :]).decode()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the tests fail on any warning, and that would kill too easily
            compile(text, "<mutant>", "exec", dont_inherit=True)
    except (SyntaxError, SyntaxWarning):
        return None
    return None if ast.dump(ast.parse(text)) == ast.dump(ast.parse(source)) else text


def changed_lines(source: str, mutation: Mutation) -> tuple[str, str]:
    """The source lines that the mutation touches, before and after, each as one line."""
    data = source.encode()
    begin = data.rfind(b"\n", 0, mutation.start) + 1
    stop = (data.find(b"\n", mutation.end) + len(data) + 1) % (len(data) + 1)
    after = data[begin : mutation.start] + mutation.text.encode() + data[mutation.end : stop]
    old, new = (" ".join(part.decode().split()) for part in (data[begin:stop], after))
    return old, new


class _Finder:
    def __init__(self, source: str) -> None:
        self.data = source.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.lines: tuple[int, int] | None = None  # of the statement under the eye, where it stands in a function
        self.inside = False

    def found(self, node: ast.AST) -> Iterator[Mutation]:
        """The mutations of a node and of what is below it."""
        if isinstance(node, UNTOUCHED) or _speaks(node) or _wording(node):
            return
        if isinstance(node, FUNCTIONS):
            if node.name not in {"__repr__", "__str__"}:
                yield from self._function(node)
            return
        if isinstance(node, ast.If) and _guard(node.test):
            yield from self._each(node.orelse)
            return
        kept = self.lines
        if isinstance(node, ast.stmt):
            self.lines = _header(node) if self.inside else None
        yield from self._own(node)
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "decorator_list", "returns", "msg"}:
                continue
            yield from self._each(value if isinstance(value, list) else [value])
        self.lines = kept

    def _each(self, nodes: Sequence[object]) -> Iterator[Mutation]:
        for node in nodes:
            if isinstance(node, ast.AST):
                yield from self.found(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Mutation]:
        kept, inside = self.lines, self.inside
        self.lines = (node.body[0].lineno, node.body[-1].end_lineno or node.lineno)  # who runs the body meets its defaults
        for default in (*node.args.defaults, *(value for value in node.args.kw_defaults if value)):
            for mutation in self._default(default) or self.found(default):
                yield Mutation(mutation.start, mutation.end, mutation.text, "default", mutation.line, mutation.lines)
        self.inside = True
        yield from self._each(node.body)
        self.lines, self.inside = kept, inside

    def _default(self, node: ast.expr) -> list[Mutation]:
        match node:
            case ast.Constant(value=bool(value)):
                return [self._replace(node, str(not value), "default")]
            case ast.Constant(value=float(value)):
                return [self._replace(node, str(value * 2 or 1.0), "default")]
        return []

    def _own(self, node: ast.AST) -> Iterator[Mutation]:  # noqa: PLR0912 - one case for each kind of fault
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                other = BORDERS.get(type(op)) or MEMBERSHIP[type(op)]
                yield from self._operator(left, op, right, other, "comparison" if type(op) in BORDERS else "negation")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC and not (_text(left) or _text(right)):
                yield from self._operator(left, op, right, ARITHMETIC[type(op)], "arithmetic")
                if isinstance(op, ast.Div | ast.FloorDiv):
                    begin = self._between(left, op, right)
                    if begin:
                        yield self._edit(begin[0], self._end(node), "", "divisor")
            case ast.BoolOp(op=op, values=values):
                other = "or" if isinstance(op, ast.And) else "and"
                for left, right in pairwise(values):
                    yield from self._operator(left, op, right, other, "boolean")
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                start = self._start(node)
                gap = self.data[start : self._start(operand)]
                yield self._edit(start, start + len(gap) - len(gap[3:].lstrip()), "", "negation")
            case ast.Constant(value=int(value)) if not isinstance(node.value, bool):
                yield self._replace(node, str(value + 1), "constant")
            case ast.Call(func=ast.Name(id="min" | "max" as name) | ast.Attribute(attr="min" | "max" as name)):
                end = self._end(node.func)
                yield self._edit(end - 3, end, "max" if name == "min" else "min", "min-max")
            case ast.Slice(lower=lower, upper=upper):
                for bound in (lower, upper):
                    if bound is not None and not isinstance(bound, ast.Constant):  # constants are raised anyway
                        simple = isinstance(bound, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.UnaryOp)
                        text = self.data[self._start(bound) : self._end(bound)].decode()
                        yield self._replace(bound, f"{text} + 1" if simple else f"({text}) + 1", "slice")
            case ast.IfExp(test=test, body=body, orelse=orelse) if not _turned(test):
                parts = [self.data[self._start(part) : self._end(part)] for part in (orelse, test, body)]
                yield self._replace(node, "({}) if ({}) else ({})".format(*(part.decode() for part in parts)), "swap")
            case ast.If(test=test) if not _turned(test):
                text = self.data[self._start(test) : self._end(test)].decode()
                yield self._replace(test, f"not ({text})", "negation")
            case ast.Return(value=ast.Constant(value=bool(value))) if node.value is not None:
                yield self._replace(node.value, str(not value), "return")
            case ast.AugAssign() | ast.Expr(value=ast.Call()):
                yield self._replace(node, "pass", "statement")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield self._replace(node, "pass", "statement")

    def _operator(self, left: ast.expr, op: ast.AST, right: ast.expr, other: str, kind: str) -> Iterator[Mutation]:
        span = self._between(left, op, right)
        if span:
            yield self._edit(*span, other, kind)

    def _between(self, left: ast.expr, op: ast.AST, right: ast.expr) -> tuple[int, int] | None:
        """Where the operator stands; None where a comment hides it."""
        begin = self._end(left)
        gap = self.data[begin : self._start(right)].decode()
        match = re.search(rf"\b{SYMBOLS[type(op)]}\b" if SYMBOLS[type(op)][0].isalpha() else SYMBOLS[type(op)], gap)
        return None if match is None or "#" in gap else (begin + match.start(), begin + match.end())

    def _replace(self, node: ast.AST, text: str, kind: str) -> Mutation:
        return self._edit(self._start(node), self._end(node), text, kind)

    def _edit(self, start: int, end: int, text: str, kind: str) -> Mutation:
        return Mutation(start, end, text, kind, self.data.count(b"\n", 0, start) + 1, self.lines)

    def _start(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset  # pyright: ignore[reportAttributeAccessIssue]

    def _end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset  # pyright: ignore[reportAttributeAccessIssue]


def _header(node: ast.stmt) -> tuple[int, int]:
    """First and last line of a statement without the statements inside it."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    first = body[0] if isinstance(body, list) and body else None
    inner = getattr(first, "lineno", None) or (first.pattern.lineno if isinstance(first, ast.match_case) else None)
    return node.lineno, max(node.lineno, inner - 1) if inner else node.end_lineno or node.lineno


def _speaks(node: ast.AST) -> bool:
    """A call whose effect is what a person reads: `logger.info(...)`, `warnings.warn(...)`, `print(...)`."""
    node = node.value if isinstance(node, ast.Expr) else node
    if not isinstance(node, ast.Call):
        return False
    root = node.func
    while isinstance(root, ast.Attribute | ast.Call):
        root = root.func if isinstance(root, ast.Call) else root.value
    return isinstance(root, ast.Name) and root.id.lower().strip("_") in SPEAKERS


def _guard(test: ast.expr) -> bool:
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    return bool(names & {"TYPE_CHECKING", "__name__"})


def _turned(test: ast.expr) -> bool:
    """Whether another mutation of the test alone has the effect of its negation."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return isinstance(test.ops[0], ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn)
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


def _wording(node: ast.AST) -> bool:
    """An f-string that is lengthened or chosen: `f"{count} rows" + (" of one" if ... else "")`."""
    parts = (node.left, node.right) if isinstance(node, ast.BinOp) else ()
    parts = (node.body, node.orelse) if isinstance(node, ast.IfExp) else parts
    return any(isinstance(part, ast.JoinedStr) or _wording(part) for part in parts)


def _text(node: ast.AST) -> bool:
    """A string, a list or a tuple as it stands: `+` joins there, and `-` would fail at once."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes)
    return isinstance(node, ast.List | ast.Tuple)
