"""The standard suites of langchain-tests for chat models, on `CachedChatModel`: cold and warm."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from tests.conformance.standard_model import CachedStandard, WarmStandard

pytestmark = [
    pytest.mark.filterwarnings("ignore:The method `BaseChatModel._a?chat_model_stream_v3`"),
]


class TestCachedUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return CachedStandard


class TestCachedIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return CachedStandard

    @property
    def model_override_value(self) -> str:
        return "standard-2"


class TestWarmIntegration(ChatModelIntegrationTests):
    """Every answer is a hit."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return WarmStandard

    @property
    def model_override_value(self) -> str:
        return "standard-2"

    @property
    def returns_usage_metadata(self) -> bool:
        return False  # a hit made no call: what it saved is in its mark


def test_the_warm_suite_is_warm(subtests: Any) -> None:
    """The suite above would pass with a wrapper that does nothing."""
    model = WarmStandard()
    outcomes = {
        "invoke": model.invoke("Hello").response_metadata,
        "stream": list(model.stream("Hi"))[-1].response_metadata,
        "events": model.stream_events("Hey", version="v3").output.response_metadata,
    }
    for how, metadata in outcomes.items():
        with subtests.test(how):
            assert metadata["agentperf"]["cache"]["outcome"] == "hit"
