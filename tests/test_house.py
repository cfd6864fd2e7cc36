"""The house: who imports whom, what only some files may do, how long a file may be, and what the wheel holds."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "neurolearn"
FILES = sorted(LIBRARY.rglob("*.py"))

LONGEST_FILE = 400
MAY_RUN_SOURCE = {"tensor/compile.py", "circuit/built.py", "circuit/worker.py"}  # they run what they printed, never what a user wrote
RULES_MAY_IMPORT = (*(f"neurolearn.{part}" for part in ("rule", "network", "chain", "errors", "rules")), "numpy")


@dataclass(frozen=True)
class Import:
    """One imported module, by its full name. at_load: it happens when the file is loaded, not when a function runs."""

    module: str
    line: int
    at_load: bool

    def of(self, *packages: str) -> bool:
        return any(self.module == package or self.module.startswith(f"{package}.") for package in packages)


def imports(path: Path, root: Path = ROOT) -> list[Import]:
    """Every import of a file: absolute, relative, inside functions, and by a literal name given to import_module."""
    found = []
    for node, at_load in walk(ast.parse(path.read_text(encoding="utf-8")), at_load=True):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, at_load) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node.module or "", node.level, path, root)
            found += [Import(submodule(base, alias.name, root), node.lineno, at_load) for alias in node.names]
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
            level = len(name) - len(name.lstrip("."))
            if name:
                found.append(Import(absolute(name[level:], level, path, root), node.lineno, at_load))
    return found


def walk(node: ast.AST, *, at_load: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, with whether it runs when the file is loaded: not in a function, not under ``if TYPE_CHECKING``."""
    yield node, at_load
    deferred: list[ast.AST] = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        deferred = node.body
    elif isinstance(node, ast.Lambda):
        deferred = [node.body]
    elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
        deferred = node.body
    for child in ast.iter_child_nodes(node):
        yield from walk(child, at_load=at_load and not any(child is one for one in deferred))


def absolute(module: str, level: int, path: Path, root: Path) -> str:
    """Full name of ``module`` as imported in ``path`` with ``level`` leading dots."""
    if not level:
        return module
    package = path.relative_to(root).parent.parts
    return ".".join((*package[: len(package) - level + 1], *filter(None, [module])))


def submodule(base: str, name: str, root: Path) -> str:
    """``from base import name`` imports base.name where that is a module, else base."""
    place = root.joinpath(*base.split("."), name)
    return f"{base}.{name}" if place.is_dir() or place.with_suffix(".py").is_file() else base


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def inside(*places: str) -> list[Path]:
    return [path for path in FILES if path.relative_to(LIBRARY).as_posix().startswith(places)]


def offences(files: list[Path], forbidden) -> list[str]:
    """The imports in ``files`` for which ``forbidden(import)`` holds, each as ``file:line imports module``."""
    return [
        f"{path.relative_to(ROOT)}:{one.line} imports {one.module}"
        for path in files for one in imports(path) if forbidden(one)
    ]


def test_brian2_is_imported_only_by_circuits():
    others = [path for path in FILES if path not in inside("circuit/")]
    assert not offences(others, lambda one: one.of("brian2"))


def test_norse_is_imported_only_by_the_spiking_tensors():
    others = [path for path in FILES if path not in inside("tensor/cells.py")]
    assert not offences(others, lambda one: one.of("norse"))


def test_matplotlib_and_scikit_learn_are_imported_only_when_asked():
    assert not offences(FILES, lambda one: one.at_load and one.of("matplotlib", "sklearn"))


def test_nothing_imports_what_is_not_installed():
    assert not offences(FILES, lambda one: one.of("models", "analysis", "tests", "benchmarks"))


def test_rules_know_no_simulator():
    def forbidden(one: Import) -> bool:
        return not one.of(*RULES_MAY_IMPORT) and one.module.split(".")[0] not in sys.stdlib_module_names

    assert not offences(inside("rules/"), forbidden)


def test_tensors_and_circuits_know_neither_the_rules_nor_each_other():
    assert not offences(inside("tensor/"), lambda one: one.of("neurolearn.rules", "neurolearn.circuit"))
    assert not offences(inside("circuit/"), lambda one: one.of("neurolearn.rules", "neurolearn.tensor"))


def test_runs_know_no_simulator():
    assert not offences(inside("runs/"), lambda one: one.of("torch", "brian2", "neurolearn.tensor", "neurolearn.circuit"))


def test_only_two_files_run_source_text():
    running = [
        f"{path.relative_to(ROOT)}:{node.lineno} calls {ast.unparse(node.func)}"
        for path in FILES if path.relative_to(LIBRARY).as_posix() not in MAY_RUN_SOURCE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"eval", "exec", "builtins.eval", "builtins.exec"}
    ]
    assert not running


def test_a_file_holds_one_concept():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FILE}


def test_the_wheel_holds_neurolearn_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["neurolearn"]}
    assert (LIBRARY / "py.typed").is_file()
    packages = {path.parent for path in FILES}
    assert not [str(package) for package in packages if not (package / "__init__.py").is_file()]


def test_importing_neurolearn_loads_no_simulator():
    slow = ["brian2", "norse", "sklearn", "matplotlib", "scipy.optimize"]
    code = f"import neurolearn, sys; print(neurolearn.__file__, [name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0].endswith("__init__.py"), "neurolearn/__init__.py is missing"
    assert done.stdout.strip().endswith("[]"), done.stdout


# The checks above are only as good as this: an import that is not seen is never forbidden.


@pytest.mark.parametrize(("place", "source", "expected"), [
    ("tensor/rate.py", "import brian2.units as u", ("brian2.units", True)),
    ("tensor/rate.py", "from ..circuit import rate", ("neurolearn.circuit.rate", True)),
    ("tensor/rate.py", "from ..circuit.rate import update", ("neurolearn.circuit.rate", True)),
    ("tensor/rate.py", "from .. import circuit", ("neurolearn.circuit", True)),
    ("tensor/rate.py", "from neurolearn import circuit", ("neurolearn.circuit", True)),
    ("tensor/rate.py", "from neurolearn import Rule", ("neurolearn", True)),
    ("tensor/rate.py", "from . import engine", ("neurolearn.tensor", True)),
    ("tensor/__init__.py", "from .rate import update", ("neurolearn.tensor.rate", True)),
    ("__init__.py", "from .circuit import rate", ("neurolearn.circuit.rate", True)),
    ("__init__.py", "def f():\n    import sklearn", ("sklearn", False)),
    ("__init__.py", "class A:\n    import sklearn", ("sklearn", True)),
    ("__init__.py", "try:\n    import sklearn\nexcept ImportError:\n    pass", ("sklearn", True)),
    ("__init__.py", "if TYPE_CHECKING:\n    import sklearn", ("sklearn", False)),
    ("__init__.py", "import importlib\nimportlib.import_module('.circuit', __name__)", ("neurolearn.circuit", True)),
    ("__init__.py", "f = lambda: __import__('norse')", ("norse", False)),
])
def test_the_import_reader_sees(tmp_path, place, source, expected):
    for name in ("tensor", "circuit"):
        (tmp_path / "neurolearn" / name).mkdir(parents=True)
    for name in ("tensor/rate.py", "circuit/rate.py", place):
        (tmp_path / "neurolearn" / name).write_text("")
    path = tmp_path / "neurolearn" / place
    path.write_text(source)
    last = imports(path, tmp_path)[-1]
    assert (last.module, last.at_load) == expected
