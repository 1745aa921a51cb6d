"""`ToolPolicy`: safe defaults, contradictions, and the names of what a tool reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy


def test_by_default_nothing_is_declared_and_nothing_is_kept():
    policy = ToolPolicy()
    assert not policy.read_only
    assert not policy.idempotent
    assert policy.ttl_s is None


@dataclass(frozen=True)
class Wrong:
    name: str
    settings: Mapping[str, Any]
    says: tuple[str, ...]


WRONG = [
    Wrong("ttl undeclared", {"ttl_s": 60}, ("ttl_s=60", "read_only", "idempotent")),
    Wrong(
        "ttl and writes",
        {"ttl_s": 60, "idempotent": True, "writes": ["a"]},
        ("ttl_s=60", "writes=('a',)"),
    ),
    Wrong("read only and writes", {"read_only": True, "writes": ["a"]}, ("read_only", "writes")),
    Wrong("stale alone", {"read_only": True, "stale_ttl_s": 5}, ("stale_ttl_s=5", "ttl_s=None")),
    Wrong("negative alone", {"negative_ttl_s": 5}, ("negative_ttl_s=5", "ttl_s=None")),
    Wrong("key and ignore", {"key_args": ["a"], "ignore_args": ["b"]}, ("key_args", "ignore_args")),
    Wrong("reads ignored", {"reads": ["a:{b}"], "ignore_args": ["b"]}, ("reads", "ignore_args")),
    Wrong("reads no key", {"reads": ["a:{b}"], "key_args": ["c"]}, ("reads", "key_args")),
    Wrong("zero", {"read_only": True, "ttl_s": 0}, ("ttl_s", "0")),
    Wrong("endless", {"read_only": True, "ttl_s": float("inf")}, ("ttl_s", "inf")),
    Wrong("not a number", {"read_only": True, "ttl_s": float("nan")}, ("ttl_s", "nan")),
    Wrong("scope", {"cache_scope": "user"}, ("cache_scope", "'user'")),
    Wrong("one name", {"reads": "orders"}, ("reads", "'orders'")),
    Wrong("no names", {"writes": [7]}, ("writes", "7")),
    Wrong("no fixed name", {"reads": ["{a}"]}, ("reads", "'{a}'")),
    Wrong("star alone", {"reads": ["*"]}, ("reads", "'*'")),
    Wrong("open brace", {"writes": ["orders:{a"]}, ("writes", "'orders:{a'")),
    Wrong("attribute", {"writes": ["orders:{a.b}"]}, ("writes", "'orders:{a.b}'")),
    Wrong("bytes", {"max_bytes": 0}, ("max_bytes", "0")),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_settings_that_cannot_go_together_are_both_named(wrong: Wrong):
    with pytest.raises(ConfigError) as raised:
        ToolPolicy(**wrong.settings)
    assert all(word in str(raised.value) for word in wrong.says), raised.value


def meets(reads: str, writes: str, asked: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether a write makes a result forgotten."""
    read = ToolPolicy(reads=[reads]).tags_read(asked)
    return bool(set(read) & set(ToolPolicy(writes=[writes]).tags_written(changed)))


@pytest.mark.parametrize(
    ("reads", "writes", "asked", "changed", "expected"),
    [
        ("orders:{id}", "orders:{order}", {"id": 7}, {"order": "7"}, True),
        ("orders:{id}", "orders:{id}", {"id": 7}, {"id": 8}, False),
        ("orders:*", "orders:{id}", {}, {"id": 8}, True),
        ("orders:{id}", "orders:*", {"id": 7}, {}, True),
        ("orders:*", "orders:*", {}, {}, True),
        ("orders:{id}", "orders:{id}", {"id": 7}, {}, True),
        ("orders:{id}", "orders:{id}", {}, {"id": 8}, True),
        ("orders:{id}", "orders:{id}", {"id": [7, 8]}, {"id": 7}, True),
        ("orders:{id}", "users:{id}", {"id": 7}, {"id": 7}, False),
        ("weather", "weather", {}, {}, True),
        ("weather", "weather:*", {}, {}, False),
    ],
)
def test_a_write_meets_what_was_read_of_the_same_resource(
    reads: str, writes: str, asked: Mapping[str, Any], changed: Mapping[str, Any], expected: bool
):
    assert meets(reads, writes, asked, changed) is expected


VALUES = st.one_of(
    st.integers(), st.text(max_size=4), st.none(), st.booleans(), st.lists(st.integers())
)


@given(VALUES, VALUES)
def test_equal_values_always_meet_whatever_they_are(value: Any, other: Any):
    """No argument of a model can name a resource in a way that its own write would miss."""
    assert meets("orders:{id}", "orders:{id}", {"id": value}, {"id": value})
    assert meets("orders:{id}", "orders:*", {"id": value}, {"id": other})
    assert meets("orders:*", "orders:{id}", {"id": value}, {"id": other})
