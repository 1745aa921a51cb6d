"""Optional dependencies: the module, or one sentence that says how to get it."""

from __future__ import annotations

import importlib
import json.decoder
import sys
from pathlib import Path
from types import ModuleType

import pytest

from agentperf_core.errors import MissingExtra
from agentperf_core.optional import lazy_exports, require


def test_an_installed_module_is_returned():
    assert require("json.decoder", extra="tokens") is json.decoder


def test_a_missing_module_names_purpose_package_and_extra():
    with pytest.raises(MissingExtra) as caught:
        require("nowhere_to_be_found.deep.inside", extra="local", purpose="the local engine")
    assert str(caught.value) == (
        "the local engine needs 'nowhere_to_be_found': pip install 'agentperf-pack[local]'"
    )
    assert caught.value.extra == "local"
    assert caught.value.name == "nowhere_to_be_found.deep.inside"


def test_without_a_purpose_the_sentence_is_still_one():
    with pytest.raises(MissingExtra, match=r"^this feature needs 'nowhere': pip install"):
        require("nowhere", extra="otel")


def test_the_import_error_is_the_cause():
    with pytest.raises(MissingExtra) as caught:
        require("nowhere", extra="otel")
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_blocked_module_counts_as_missing(monkeypatch: pytest.MonkeyPatch):
    """`sys.modules[name] = None` is how Python itself marks a module that must not be imported."""
    monkeypatch.setitem(sys.modules, "json.decoder", None)
    with pytest.raises(MissingExtra):
        require("json.decoder", extra="tokens")


def test_an_error_inside_the_module_is_not_taken_for_a_missing_one(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "broken_on_import.py").write_text("raise RuntimeError('its own fault')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match="its own fault"):
        require("broken_on_import", extra="tokens")


# Lazy package roots

ROOT_SOURCE = """
from agentperf_core.optional import lazy_exports

__all__ = ["Thing"]
__getattr__, __dir__ = lazy_exports(
    __name__, {"Thing": "inside"}, needs="%s", extra="langchain"
)
"""


@pytest.fixture
def lazy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """A package whose root exports `Thing` from a submodule, if what it needs is there."""
    name = "lazy_" + request.node.name.split("[")[0]
    needs = getattr(request, "param", "json")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(ROOT_SOURCE % needs)
    (tmp_path / name / "inside.py").write_text("class Thing: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(name)
    for loaded in [found for found in sys.modules if found.partition(".")[0] == name]:
        del sys.modules[loaded]


def test_a_lazy_root_loads_a_name_on_first_use(lazy: ModuleType):
    assert f"{lazy.__name__}.inside" not in sys.modules
    thing = lazy.Thing
    assert (thing.__name__, thing.__module__) == ("Thing", lazy.__name__)
    assert vars(lazy)["Thing"] is thing, "the second use costs nothing"


def test_a_lazy_root_lists_its_names_without_loading_them(lazy: ModuleType):
    assert "Thing" in dir(lazy)
    assert f"{lazy.__name__}.inside" not in sys.modules


def test_a_lazy_root_has_no_other_names(lazy: ModuleType):
    with pytest.raises(AttributeError, match=f"module '{lazy.__name__}' has no attribute 'Other'"):
        _ = lazy.Other
    assert not hasattr(lazy, "Other")


@pytest.mark.parametrize("lazy", ["no_such_framework"], indirect=True)
def test_a_lazy_root_without_its_framework_says_what_to_install(lazy: ModuleType):
    with pytest.raises(MissingExtra) as caught:
        _ = lazy.Thing
    assert str(caught.value) == (
        f"{lazy.__name__}.Thing needs 'no_such_framework': pip install 'agentperf-pack[langchain]'"
    )


def test_a_part_of_a_framework_that_is_missing_is_named(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """The openai extra brings langchain-core without langchain."""
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "__init__.py").write_text("")
    (tmp_path / "adapter" / "part.py").write_text("import second_package.inside\n")
    monkeypatch.syspath_prepend(tmp_path)
    load, _ = lazy_exports("adapter", {"Part": "part"}, needs="json", extra="langchain")
    with pytest.raises(MissingExtra, match=r"adapter\.Part needs 'second_package': pip install"):
        load("Part")
