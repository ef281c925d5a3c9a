"""The normal form of a Python module: equal for two versions that compute the same and differ only in wording.

These don't count: comments, layout, docstrings, log records, texts of exceptions, of progress and of `--help`,
variables that only such texts use, the names of local variables, and imports from packages that decide no result.
Parameters keep their names, as callers may use them.
"""

import ast
import builtins
from collections.abc import Iterator

PACKAGE = "fewshot_distillation"
# These decide no result: `config` speaks through the specs, `runtime` moves files and prints progress, `hardware` takes
# GPUs and measures (the tokens a second in metrics.csv, too).
IGNORED = ("config", "errors", "hardware", "runtime")

LOGGERS = {"log", "logger", "logging", "warnings"}
# Functions and methods of which texts are for readers: the arguments by number and by name.
SHOWN = {"progress": ({1}, {"what", "unit"}), "check_length": ({1}, {"what"})}
# In scripts/: the names of arguments with their help texts.
HELP = "ARGUMENTS"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Nodes that give a name a value, and the field in which the name is.
BINDING = {
    **dict.fromkeys((ast.ExceptHandler, *FUNCTIONS, ast.MatchAs, ast.MatchStar), "name"),
    ast.Name: "id",
    ast.MatchMapping: "rest",
}
NAMING = {*BINDING, ast.arg, ast.alias, ast.Global, ast.Nonlocal, ast.ClassDef}
# Where these are called, the names of variables matter.
DYNAMIC = {"locals", "vars", "eval", "exec"}


def normal_form(source: str | bytes) -> str:
    """Return the syntax tree as text, without what only readers see."""
    tree = _Silent().visit(ast.parse(source))
    taken = {*dir(builtins), *_names_of_module(tree)}
    for function in _outermost_functions(tree):
        _drop_unused_texts(function)
        _number_locals(function, taken)
    return ast.unparse(tree)


class _Silent(ast.NodeTransformer):
    """Takes out docstrings, log records and messages."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
        super().generic_visit(node)
        if isinstance(getattr(node, "body", None), list) and not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        match node.value:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if name in LOGGERS:
                return None
            case ast.Call(func=ast.Name(id="print")):
                return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Take out a condition under which nothing is left to do, if looking at it has no effect."""
        self.generic_visit(node)
        nothing = not node.orelse and all(isinstance(inside, ast.Pass) for inside in node.body)
        effects = (ast.Call, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
        return None if nothing and not any(isinstance(part, effects) for part in ast.walk(node.test)) else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        name = (node.module or "").removeprefix(f"{PACKAGE}.")
        from_package = node.level > 1 or name != node.module
        return None if from_package and name.partition(".")[0] in IGNORED else node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc.args = [argument for argument in node.exc.args if not _is_text(argument)]
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        if called in SHOWN:
            numbers, names = SHOWN[called]
            node.args = [argument for number, argument in enumerate(node.args) if number not in numbers]
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in names]
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if [ast.unparse(target) for target in node.targets] == [HELP] and isinstance(node.value, ast.Dict):
            node.value.values = [ast.Constant("") for _ in node.value.values]
        return self.generic_visit(node)


def _is_text(node: ast.AST) -> bool:
    """Whether an expression is a text put together for readers."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=one, op=ast.Add(), right=other):
            return _is_text(one) or _is_text(other)
        case ast.BinOp(left=text, op=ast.Mod()):
            return _is_text(text)
        case ast.IfExp(body=one, orelse=other):
            return _is_text(one) and _is_text(other)
    return False


def _drop_unused_texts(function: ast.AST) -> None:
    """Take out assignments of texts to variables that nothing in the function reads any more."""
    nodes = list(ast.walk(function))
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bodies = [getattr(node, field, None) for node in nodes for field in ("body", "orelse", "finalbody")]
    for body in bodies:
        if isinstance(body, list) and (kept := [each for each in body if not _is_unused_text(each, read)]) != body:
            body[:] = kept or [ast.Pass()]
            return _drop_unused_texts(function)  # another may have been read by this one alone


def _is_unused_text(statement: ast.AST, read: set[str]) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name not in read and _is_text(value)
    return False


def _names_of_module(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.alias):
            yield (child.asname or child.name).partition(".")[0]
        elif isinstance(child, (ast.ClassDef, *FUNCTIONS)):
            yield child.name
        elif (name := _binds(child)) is not None:
            yield name
        else:
            yield from _names_of_module(child)


def _outermost_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            yield child
        else:
            yield from _outermost_functions(child)


def _number_locals(function: ast.AST, taken: set[str]) -> None:
    """Rename the variables of a function, and of those inside it, to numbers in the order in which they occur.

    A name that means something else anywhere near is kept: parameters, imports, names of the module (`taken`).
    """
    nodes = [node for node in ast.walk(function) if type(node) in NAMING and node is not function]
    if any(isinstance(node, ast.Name) and node.id in DYNAMIC for node in nodes):
        return
    kept = taken | {name for node in nodes for name in _names_to_keep(node)}
    bound = [name for node in nodes if (name := _binds(node)) is not None and name not in kept]
    names = {name: f"·{number}" for number, name in enumerate(dict.fromkeys(bound))}
    for node in nodes:
        if field := BINDING.get(type(node)):
            setattr(node, field, names.get(getattr(node, field), getattr(node, field)))
        elif isinstance(node, ast.Nonlocal):
            node.names = [names.get(name, name) for name in node.names]


def _binds(node: ast.AST) -> str | None:
    """The name that a node gives a value."""
    field = BINDING.get(type(node))
    return None if field is None or isinstance(getattr(node, "ctx", None), ast.Load) else getattr(node, field)


def _names_to_keep(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, ast.Global):
        yield from node.names
    elif isinstance(node, ast.ClassDef):  # its variables are attributes
        yield node.name
        yield from (name for inside in ast.walk(node) if (name := _binds(inside)) is not None)
