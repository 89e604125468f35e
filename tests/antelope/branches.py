"""Branch coverage without a tracer: modules are rewritten when they are imported, so that each decision is noted.

Counted are both outcomes of every `if`, `while`, conditional expression, operand of `and` and `or`, and condition of a
comprehension; whether a `for` ran not at all or at least once, where it could; and whether an `except` was entered.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import sys
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from types import CodeType, ModuleType

_Value = TypeVar("_Value")
_NOTE: Final = "__note_branch__"
_LOOP: Final = "__note_loop__"
_HANDLER: Final = "__note_handler__"


class Outcome(NamedTuple):
    """One way that a decision can go."""

    module: str
    function: str
    line: int
    what: str
    way: bool


class Branches:
    """The outcomes of the decisions in some modules, and those that were seen.

    Args:
        modules: names of modules that are not imported yet.
    """

    def __init__(self, modules: Collection[str]) -> None:
        self._places: list[tuple[str, str, int, str]] = []
        self._seen: set[tuple[int, bool]] = set()
        sys.meta_path.insert(0, _Finder(self, modules))

    def forget(self) -> None:
        """Count from now on: what was seen while things were set up is not."""
        self._seen.clear()

    def outcomes(self) -> tuple[list[Outcome], list[Outcome]]:
        """Those that were seen, and those that were not."""
        seen: list[Outcome] = []
        unseen: list[Outcome] = []
        for number, (module, function, line, what) in enumerate(self._places):
            for way in (True,) if what == "except" else (True, False):
                chosen = seen if (number, way) in self._seen else unseen
                chosen.append(Outcome(module, function, line, what, way))
        return seen, unseen

    def place(self, module: str, function: str, line: int, what: str) -> int:
        """Add a decision; return its number."""
        self._places.append((module, function, line, what))
        return len(self._places) - 1

    def note(self, number: int, value: _Value) -> _Value:
        """Note which way a decision went, and let it go that way."""
        self._seen.add((number, bool(value)))
        return value

    def loop(self, number: int, items: Iterable[_Value]) -> Iterator[_Value]:
        """Note whether a loop runs at all."""
        entered = False
        for item in items:
            if not entered:
                self._seen.add((number, True))
                entered = True
            yield item
        if not entered:
            self._seen.add((number, False))

    def handler(self, number: int) -> None:
        """Note that an exception was caught."""
        self._seen.add((number, True))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, branches: Branches, modules: Collection[str]) -> None:
        self._branches = branches
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert isinstance(spec.loader, importlib.machinery.SourceFileLoader)
        spec.loader = _Loader(self._branches, fullname, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, branches: Branches, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._branches = branches

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(self.get_data(self.path), self.path)
        tree = ast.fix_missing_locations(_Rewriter(self._branches, fullname).visit(tree))
        code: CodeType = compile(tree, self.path, "exec")
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[_NOTE] = self._branches.note
        vars(module)[_LOOP] = self._branches.loop
        vars(module)[_HANDLER] = self._branches.handler
        super().exec_module(module)


class _Rewriter(ast.NodeTransformer):
    def __init__(self, branches: Branches, module: str) -> None:
        self._branches = branches
        self._module = module
        self._functions: list[str] = []

    def _call(self, name: str, node: ast.AST, what: str, *arguments: ast.expr) -> ast.expr:
        line = getattr(node, "lineno", 0)
        number = self._branches.place(self._module, ".".join(self._functions), line, what)
        called = ast.Call(ast.Name(name, ast.Load()), [ast.Constant(number), *arguments], [])
        return ast.copy_location(called, node)

    def _inside(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        self._functions.append(node.name)
        self.generic_visit(node)
        self._functions.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._inside(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._inside(node)

    def _test(self, node: ast.If | ast.While | ast.IfExp, what: str) -> ast.AST:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node
        self.generic_visit(node)
        node.test = self._call(_NOTE, node, what, node.test)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._test(node, "if")

    def visit_While(self, node: ast.While) -> ast.AST:
        if isinstance(node.test, ast.Constant):
            return self.generic_visit(node)
        return self._test(node, "while")

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._test(node, "if-else")

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        node.values = [self._call(_NOTE, value, "operand", value) for value in node.values]
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        if _is_fixed(node.iter):
            return node
        node.iter = self._call(_LOOP, node, "for", node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.ifs = [self._call(_NOTE, test, "condition", test) for test in node.ifs]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(self._call(_HANDLER, node, "except")))
        return node


def _is_fixed(items: ast.expr) -> bool:
    """Whether a loop over `items` runs always: a tuple that is written out, or a range of a constant."""
    if isinstance(items, ast.Call) and isinstance(items.func, ast.Name) and items.func.id == "range":
        return all(isinstance(each, ast.Name) and each.id.isupper() for each in items.args)
    return isinstance(items, ast.Tuple)
