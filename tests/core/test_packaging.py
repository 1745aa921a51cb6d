"""The package as users get it: what is in the wheel, what an import costs, what is public."""

from __future__ import annotations

import ast
import email
import email.message
import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import agentperf_core

ROOT = Path(__file__).parents[2]
SOURCES = {
    "agentperf_core": ROOT / "shared" / "agentperf_core",
    "langchain_agentperf": ROOT / "langchain_agentperf",
    "llamaindex_agentperf": ROOT / "llamaindex_agentperf",
}
EXTRAS = {
    "langchain",
    "openai",
    "llamaindex",
    "redis",
    "tokens",
    "pricing",
    "semantic",
    "embeddings",
    "local",
    "http2",
    "websocket",
    "otel",
    "prometheus",
    "all",
    "dev",
}
HEAVY = {"torch", "transformers", "sentence_transformers", "accelerate", "redis", "numpy"}
FRAMEWORKS = {
    "langchain_agentperf": {"langchain", "langchain_core", "langchain_openai", "langgraph"},
    "llamaindex_agentperf": {"llama_index", "llama_index_instrumentation", "workflows"},
}


def modules() -> list[str]:
    """Every module of the three packages, by its dotted name."""
    found: list[str] = []
    for package, folder in SOURCES.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts))
            found.append(name.removesuffix(".__init__"))
    return found


def source_of(module: str) -> Path:
    package, *rest = module.split(".")
    path = SOURCES[package].joinpath(*rest)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            *("-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check"),
            *("--outdir", str(out), str(ROOT)),
        ],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_holds_three_packages_and_nothing_else(wheel: zipfile.ZipFile):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(SOURCES)


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile):
    """`shared/agentperf_core` becomes `agentperf_core`; no file is left behind."""
    expected = {
        f"{package}/{file.relative_to(folder).as_posix()}"
        for package, folder in SOURCES.items()
        for file in folder.rglob("*.py")
    }
    assert {name for name in wheel.namelist() if name.endswith(".py")} == expected


def test_all_three_packages_are_typed(wheel: zipfile.ZipFile):
    assert {f"{package}/py.typed" for package in SOURCES} <= set(wheel.namelist())


def test_the_licence_is_in_the_wheel(wheel: zipfile.ZipFile, metadata: email.message.Message):
    assert any(name.endswith("/LICENSE") for name in wheel.namelist())
    assert metadata["License-Expression"] == "MIT"


def test_the_version_is_the_one_that_the_code_says(metadata: email.message.Message):
    assert metadata["Name"] == "agentperf-pack"
    assert metadata["Version"] == agentperf_core.__version__


def test_every_promised_extra_exists(metadata: email.message.Message):
    assert set(metadata.get_all("Provides-Extra", [])) == EXTRAS


def requirements(metadata: email.message.Message, extra: str) -> set[str]:
    """Names of what an extra installs, extras of our own followed."""
    names: set[str] = set()
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or not marker.evaluate({"extra": extra}):
            continue
        if marker.evaluate({"extra": ""}):
            continue
        if requirement.name == "agentperf-pack":
            for other in requirement.extras:
                names |= requirements(metadata, other)
        else:
            names.add(requirement.name)
    return names


@pytest.mark.parametrize("extra", ["all", "redis", "semantic"])
def test_nothing_but_its_own_extra_brings_torch(metadata: email.message.Message, extra: str):
    heavy = {"torch", "transformers", "accelerate", "sentence-transformers"}
    assert requirements(metadata, extra) & heavy == set()
    assert requirements(metadata, extra)


def test_all_is_everything_without_torch(metadata: email.message.Message):
    parts = EXTRAS - {"all", "dev", "embeddings", "local"}
    assert requirements(metadata, "all") == set().union(
        *(requirements(metadata, part) for part in parts)
    )


# What an import costs


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh process after running `code`."""
    script = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, {ROOT, ROOT / "shared"}))},
    )
    return set(found.stdout.split())


@pytest.mark.parametrize("package", SOURCES)
def test_importing_a_package_loads_nothing_heavy_and_no_framework(package: str):
    loaded = loaded_by(f"import {package}")
    assert loaded & (HEAVY | set().union(*FRAMEWORKS.values())) == set()
    assert loaded & set(SOURCES) <= {package, "agentperf_core"}


@pytest.mark.parametrize("package", FRAMEWORKS)
def test_using_every_name_of_a_package_loads_only_its_own_framework(package: str):
    """The roots are lazy, so this is what a user of all of it pays for."""
    loaded = loaded_by(f"import {package}\nfor n in {package}.__all__: getattr({package}, n)")
    (other,) = set(FRAMEWORKS) - {package}
    assert loaded & (FRAMEWORKS[other] | {other}) == set()
    assert loaded & {"torch", "transformers", "sentence_transformers", "redis"} == set()
    assert loaded & FRAMEWORKS[package]


def test_the_core_loads_no_optional_dependency_until_it_is_used():
    core = [name for name in modules() if name.startswith("agentperf_core")]
    core.remove("agentperf_core.__main__")
    # Arithmetic on arrays through and through: the learner imports it when it learns.
    core.remove("agentperf_core.cache.semantic.calibration")
    loaded = loaded_by("\n".join(f"import {name}" for name in core))
    optional = {"tiktoken", "genai_prices", "opentelemetry", "prometheus_client", "usearch", "h2"}
    frameworks = set().union(*FRAMEWORKS.values(), FRAMEWORKS)
    assert loaded & (HEAVY | optional | frameworks | {"pytest", "httpx"}) == set()


# What is public


def rank(name: str) -> tuple[int, str]:
    """The order that the linter keeps: constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def is_public(module: str) -> bool:
    return not any(part.startswith("_") for part in module.split("."))


@pytest.mark.parametrize("module", [name for name in modules() if is_public(name)])
def test_what_a_module_exports_exists_and_is_sorted(module: str):
    text = source_of(module).read_text(encoding="utf-8")
    if not text.strip():
        return
    found = importlib.import_module(module)
    exported = getattr(found, "__all__", None)
    if exported is None:
        assert all(isinstance(node, (ast.Expr, ast.Assign)) for node in ast.parse(text).body), (
            "a module with code says what it exports"
        )
        return
    assert list(exported) == sorted(set(exported), key=rank)
    for name in exported:
        assert getattr(found, name) is not None
        assert not name.startswith("_")


@pytest.mark.parametrize("package", FRAMEWORKS)
def test_users_see_the_package_and_not_the_file(package: str):
    found = importlib.import_module(package)
    for name in found.__all__:
        assert getattr(found, name).__module__.partition(".")[0] == package
    assert set(found.__all__) <= set(dir(found))
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = found.NoSuchName


# Size


@pytest.mark.parametrize("module", modules())
def test_no_module_is_longer_than_250_lines(module: str):
    lines = source_of(module).read_text(encoding="utf-8").count("\n")
    assert lines < 250, "split it where it changes its subject"
