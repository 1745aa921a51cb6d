"""Optional dependencies: the module, or one sentence that says how to get it."""

from __future__ import annotations

import json.decoder
import sys

import pytest

from agentperf_core.errors import MissingExtra
from agentperf_core.optional import require


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
