"""The shape of the repository: what lies where, who imports whom, what an import costs, style."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minidl"
TOP_LEVEL = {
    *("README.md", "LICENSE", "requirements.txt", "pyproject.toml"),
    *("notebooks", "minidl", "datasets", "tests"),
    *(".ci", ".gitignore", ".gitattributes", ".github", ".binder", ".devcontainer"),
}
LAYERS = (  # a file imports from lower lines or from its own part, never from beside or above
    ("kernels", "scalar", "classic", "progress", "quiet", "part"),
    ("devices",),
    ("writes", "cuda"),
    ("tensor",),
    ("ops", "autograd"),
    ("serialization",),
    ("__init__",),
    ("nn",),
    ("optim", "data", "testing", "instruments"),
    ("train", "warm"),
    ("viz",),
    ("course", "reference"),
    ("__main__",),
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
LOADED_BY_NAME = (
    *("kernels/cpu/*.py", "kernels/cuda/*.py", "course/exercises/n*.py"),
    *("__main__.py", "course/__main__.py"),
)
HEAVY = ("numba", "matplotlib", "ipywidgets", "IPython", "scipy", "torch", "tqdm")
IMPORT_BUDGET = 0.15  # seconds on top of NumPy's; the test allows three times as much, for busy machines


def tracked_files() -> list[Path]:
    """What git holds or would add, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [Path(line) for line in done.stdout.splitlines()]


def test_top_level_holds_only_what_has_its_place_there():
    assert {file.parts[0] for file in tracked_files()} <= TOP_LEVEL


SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_name(file: Path) -> str:
    """minidl/nn/linear.py -> "minidl.nn.linear", minidl/nn/__init__.py -> "minidl.nn"."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file) for file in SOURCES}


def imported_modules(code: str, package: str = "") -> set[str]:
    """The modules of minidl that a source imports anywhere, lazily too, except under `if TYPE_CHECKING`.

    package: the dotted package that the source lies in, which resolves `from . import x`.
    """
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= names & MODULES
            if names - MODULES:  # a name that the module itself defines
                found.add(base)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found & MODULES


def imports_of(file: Path) -> set[str]:
    name = module_name(file)
    return imported_modules(file.read_text(), name if file.name == "__init__.py" else name.rpartition(".")[0])


def part(module: str) -> str:
    """The line of LAYERS that a module stands in: "minidl.nn.linear" -> "nn"."""
    return module.split(".")[1] if "." in module else "__init__"


def test_imports_are_found_wherever_they_stand():
    code = """
    import minidl.nn.linear
    from minidl import tensor, float32
    from . import init
    from ..ops import exp
    if TYPE_CHECKING:
        from minidl import viz
    def f():
        from minidl.train import fit
        importlib.import_module("minidl.data")
    """
    found = imported_modules(re.sub("^    ", "", code, flags=re.M), package="minidl.nn")
    parts = {"minidl", "minidl.tensor", "minidl.ops", "minidl.train", "minidl.data"}
    assert found == parts | {"minidl.nn.linear", "minidl.nn.init"}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_imports_point_downwards(file):
    own = part(module_name(file))
    assert own in RANK, f"give minidl/{own} a place in LAYERS"
    wrong = {module for module in imports_of(file) if part(module) != own and RANK[part(module)] >= RANK[own]}
    assert not wrong, f"{own} stands below or beside what it imports"


def lazy_parts() -> set[str]:
    """What `minidl.__getattr__` imports on demand."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    lists = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "_LAZY"]
    return {f"minidl.{name}" for value in lists for name in ast.literal_eval(value)}


def notebook_code(file: Path) -> str:
    """The code of all cells, one after the other, without IPython's magics."""
    cells = json.loads(file.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^(\s*)[%!].*", r"\1pass", code, flags=re.M)


def test_every_file_of_the_engine_is_used():
    notebooks = [file for file in tracked_files() if file.suffix == ".ipynb"]
    used = lazy_parts().union(*map(imports_of, SOURCES))
    used = used.union(*(imported_modules(notebook_code(ROOT / file)) for file in notebooks))
    by_name = {module_name(file) for pattern in LOADED_BY_NAME for file in PACKAGE.glob(pattern)}
    parents = {name.rpartition(".")[0] for name in used | by_name}
    assert MODULES - used - by_name - parents - {"minidl"} == set()


def evening_files() -> list[Path]:
    """The files that README names as an evening's reading."""
    text = (ROOT / "README.md").read_text()
    part = text[text.index("An evening's reading") : text.index("Everything else repeats")]
    return [ROOT / name for name in re.findall(r"`(minidl/[\w/]+\.py)`", part)]


def test_the_evening_reading_stays_one():
    lines = {file.name: len(file.read_text().splitlines()) for file in evening_files()}
    assert len(lines) > 5
    assert sum(lines.values()) <= 2500, lines


def test_import_loads_nothing_heavy():
    code = "import minidl, sys; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split())
    assert "minidl.tensor" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_import_is_fast(record_property):
    code = (
        "import time, numpy; start = time.perf_counter(); import minidl; print(time.perf_counter() - start)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(5)]
    seconds = median(float(run.stdout) for run in runs)
    record_property("measured", f"import minidl: {1000 * seconds:.0f} ms on top of NumPy")
    assert seconds < 3 * IMPORT_BUDGET


def test_base_install_has_neither_gpu_packages_nor_pytorch():
    lines = (ROOT / "requirements.txt").read_text().lower().splitlines()
    packages = [line.partition("#")[0].strip() for line in lines]
    assert "-e ." in packages
    assert not [
        name for name in packages if re.match(r"torch|.*(cuda|cupy|nvidia|cudnn|jax|tensorflow)", name)
    ]


def test_every_requirement_is_a_range_and_says_why():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    for line in filter(lambda line: not line.startswith("#"), lines):
        package, _, reason = line.partition("#")
        assert len(reason.split()) >= 3, line
        assert package.strip() == "-e ." or re.fullmatch(r"[\w-]+>=[\d.]+(,<[\d.]+)?", package.strip()), line


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
