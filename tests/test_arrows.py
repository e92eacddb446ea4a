"""Imports run one way through the house, notebooks and documents know faces only, and no file or function grows too long."""

import ast
import graphlib
import importlib

import pytest
from notebooks.books import ROOT, code_blocks, programs

LIBRARY = ROOT / "cllm_lib"
FLOORS = [  # from the ground up; a room may use its own floor and those below
    {"browser", "checks", "files", "faces", "kinds", "progress", "special", "terminal"},
    {"text", "lattice", "quantization.matrices", "quantization.packing"},
    {"model"},
    {"instruments"},
    {"training", "pretrained"},
    {"quantization"},  # of whole models
    {"defects", "experiments"},
    {"claims", "casebook"},
    {"workbook", "cli", "cli_chat", "cli_options", "cli_parser", "__main__"},
]
LONGEST_FILE, LONGEST_FUNCTION = 500, 60


def modules():
    """Every module of the library by its dotted name below `cllm_lib`, with its syntax tree."""
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"))


TREES = dict(modules())


def imported(tree):
    """The modules of the library that a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cllm_lib":
            base = node.module.removeprefix("cllm_lib").lstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield inner if inner in TREES else base
        elif isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("cllm_lib").lstrip(".") for alias in node.names if alias.name.split(".")[0] == "cllm_lib")


GRAPH = {name: {other for other in imported(tree) if other != name} for name, tree in TREES.items()}


def floor(module):
    """The floor of a module's room: that of the longest listed beginning of its name."""
    rooms = [(room, i) for i, level in enumerate(FLOORS) for room in level if module == room or module.startswith(f"{room}.")]
    return max(rooms, key=lambda entry: len(entry[0]))[1]


@pytest.mark.parametrize("module", sorted(name for name in GRAPH if name))
def test_no_arrow_points_up(module):
    up = {other for other in GRAPH[module] if other and floor(other) > floor(module)}
    assert not up, f"{module} imports {up} from further up"


def test_no_module_imports_itself_by_others():
    list(graphlib.TopologicalSorter(GRAPH).static_order())  # raises CycleError, naming the circle


def shown():
    """What readers see: the code of the chapters, and that of documents."""
    yield from programs()
    for name in ("README.md", "CONTRIBUTING.md", "docs/DOCTOR.md"):
        yield from ((name, piece) for piece in code_blocks((ROOT / name).read_text(encoding="utf-8")))


def test_what_readers_see_imports_from_faces_only():
    inner = []
    for place, source in shown():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cllm_lib":
                package = importlib.import_module(node.module)
                offered = {*getattr(package, "__all__", ()), *(name.rpartition(".")[2] for name in packages_in(node.module))}
                inner += [f"{place}: {node.module}.{alias.name}" for alias in node.names if alias.name not in offered]
    assert not inner, inner


def packages_in(package):
    """The packages right below one: faces themselves."""
    folder = ROOT.joinpath(*package.split("."))
    return [f"{package}.{path.name}" for path in folder.iterdir() if (path / "__init__.py").exists()] if folder.is_dir() else []


@pytest.mark.parametrize("module", sorted(TREES))
def test_no_file_and_no_function_is_too_long(module):
    path = LIBRARY.joinpath(*module.split(".")) if module else LIBRARY
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef):
            documented = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            lines = node.end_lineno - node.lineno + 1 - (node.body[0].end_lineno - node.body[0].lineno + 1 if documented else 0)
            assert lines <= LONGEST_FUNCTION, f"{node.name} has {lines} lines without its docstring"
