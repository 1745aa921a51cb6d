"""Every Python block of the README and the docs runs, and prints what the page says it prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from agentperf_core.bench.endpoint import ChatRequest, Reply, ScriptedEndpoint
from agentperf_core.cache import SemanticCache

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL)


def blocks() -> Iterator[object]:
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), start=1):
            yield pytest.param(match[1], match[2], id=f"{page.name}-{number}")


def weather_report(request: ChatRequest) -> Reply:
    """The stand-in's part in the README's examples."""
    if request.turn[-1]["role"] == "user" and "weather" in request.last_user_text:
        return Reply.calling(("weather", {"city": "Oslo"}))
    return Reply("It is sunny in Oslo, enjoy the day.")


def labels(text: str) -> list[str]:
    """What the lines are about: their figures and their order differ from run to run."""
    table = text.strip().partition("\nadvice\n")[0]
    first = (re.split(r"\s{2,}", line.strip())[0] for line in table.splitlines())
    return sorted(
        re.sub(r"[\d.,]+ *(us|ms|s)?", "#", label) for label in first if "---" not in label
    )


@pytest.mark.parametrize(("code", "printed"), list(blocks()))
def test_a_block_runs_and_prints_what_the_page_shows(
    code: str,
    printed: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)  # what a block stores lands there
    # A busy machine is no reason for a test to fail: its encoder may take more than a second.
    defaults = cast("dict[str, Any]", SemanticCache.__init__.__kwdefaults__)
    monkeypatch.setitem(defaults, "patience_s", 300.0)
    with ScriptedEndpoint(weather_report, time_scale=0) as endpoint:
        monkeypatch.setenv("OPENAI_API_KEY", "stand-in")
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("OPENAI_API_BASE", endpoint.base_url)
        exec(compile(code, "page", "exec"), {"__name__": "__main__"})
    if printed is not None:
        assert labels(capsys.readouterr().out) == labels(printed)
