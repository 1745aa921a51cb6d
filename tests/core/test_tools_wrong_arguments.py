"""What nobody should give to the tools' functions, and the sentence that each of them says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentperf_core.errors import ConfigError
from agentperf_core.toolpolicy import ToolPolicy, policies_for, tool_policy
from agentperf_core.tools import Prefetcher

WRONG: dict[str, tuple[Callable[[Any], object], Any, str]] = {
    "a number as a policy": (tool_policy, 3, "policy must be a ToolPolicy, got 3"),
    "a list of policies": (
        lambda given: policies_for({"a": print}, given),
        [ToolPolicy()],
        "policies must be a Mapping",
    ),
    "a number of rules": (Prefetcher, 3, "rules must be a Iterable, got 3"),
    "one rule without a list": (Prefetcher, "after a: b(x=result.y)", "rules are a list"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments_are_told_of_in_one_sentence(what: str):
    call, given, says = WRONG[what]
    with pytest.raises(ConfigError, match=says):
        call(given)
