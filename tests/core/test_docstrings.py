"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
import io
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "shared", ROOT / "langchain_agentperf", ROOT / "llamaindex_agentperf")
# What `dev` does not install: examples that need it are run where it is there.
OPTIONAL = {"torch", "transformers", "accelerate", "sentence_transformers"}


def files_with_examples() -> list[Path]:
    return [
        file
        for folder in FOLDERS
        for file in sorted(folder.rglob("*.py"))
        if ">>> " in file.read_text(encoding="utf-8")
    ]


def module_of(file: Path) -> ModuleType:
    base = ROOT / "shared" if file.is_relative_to(ROOT / "shared") else ROOT
    name = ".".join(file.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] in OPTIONAL:
            pytest.skip(f"{error.name} is not installed")
        raise


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    """The examples of a module, and of classes that show themselves under another one's name."""
    finder = doctest.DocTestFinder()
    found = finder.find(module)
    package = module.__name__.partition(".")[0]
    for name, value in vars(module).items():
        if home_of(value) not in {None, module.__file__}:
            continue  # only imported here
        # The adapters' roots put their own name into `__module__` of what they export.
        if getattr(value, "__module__", None) == package != module.__name__:
            scope = vars(module).copy()
            found += finder.find(value, f"{module.__name__}.{name}", module, globs=scope)
    # One object may have two names.
    return list({(test.lineno, test.docstring): test for test in found if test.examples}.values())


def home_of(value: object) -> str | None:
    """The file of a function, or of a class by its methods; `None` for anything else."""
    methods = vars(value).values() if isinstance(value, type) else [value]
    for method in methods:
        inner = inspect.unwrap(method) if isinstance(method, FunctionType) else method
        if isinstance(inner, FunctionType) and inner.__code__.co_filename != "<string>":
            return inner.__code__.co_filename
    return None


@pytest.mark.parametrize("file", files_with_examples(), ids=lambda f: str(f.relative_to(ROOT)))
def test_every_example_runs_and_prints_what_it_says(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = module_of(file)
    tests = examples_of(module)
    written = file.read_text(encoding="utf-8").count(">>> ")
    assert sum(len(test.examples) for test in tests) >= 1, "examples were written and not found"
    assert sum(len(test.examples) for test in tests) == written, "every example is found"
    monkeypatch.chdir(tmp_path)
    for test in tests:
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=report.write)
        assert runner.failures == 0, report.getvalue()


def test_there_are_examples_in_every_package():
    names = {file.relative_to(ROOT).parts[0] for file in files_with_examples()}
    assert names == {"shared", "langchain_agentperf", "llamaindex_agentperf"}
