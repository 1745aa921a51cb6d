"""The commands as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentperf_core.__main__ import main
from agentperf_core.bench.endpoint import ScriptedEndpoint
from agentperf_core.bench.workloads import SCENARIO, desk_reply
from agentperf_core.telemetry import LatencyReport, Recorder


@pytest.fixture(autouse=True)
def no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own key must not send these tests to a real provider."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    recorder = Recorder()
    for _ in range(3):
        with recorder.span("agent", "support"), recorder.span("tool", "lookup"):
            pass
    return recorder.report().save_json(tmp_path / "trace.json")


def test_report_prints_the_table_and_writes_the_page(
    trace_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "page.html"
    assert main(["report", str(trace_file), "--html", str(page)]) == 0
    assert "tool" in capsys.readouterr().out
    assert "<svg" in page.read_text(encoding="utf-8")


def test_report_of_a_file_cut_in_half_names_file_and_line_and_shows_the_rest(
    trace_file: Path, capsys: pytest.CaptureFixture[str]
):
    text = trace_file.read_text(encoding="utf-8")
    lines = text.splitlines()
    trace_file.write_text("\n".join(lines[:5]) + lines[5][:20], encoding="utf-8")
    assert main(["report", str(trace_file)]) == 1
    output = capsys.readouterr()
    assert str(trace_file) in output.err
    assert "line 5" in output.err
    assert "tool" in output.out


def test_report_of_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", str(tmp_path / "none.json")]) == 1
    assert "cannot read" in capsys.readouterr().err


def test_doctor_names_every_part(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    for part in ("langchain-core", "llama-index-core", "HTTP stack", "tokenizers", "Redis", "GPU"):
        assert part in output
    assert "failed" not in output


@pytest.mark.parametrize("framework", ["langchain", "llamaindex"])
def test_demo_prints_a_table_and_writes_page_and_trace(
    framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["demo", "--out", str(tmp_path), "--framework", framework, "--time-scale", "0"]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "scripted stand-in" in output
    assert "model calls" in output
    assert "repeat an earlier one" in output
    named = ("Waterfall:", "The store:")  # the folder is as long as it is
    assert all(len(line) <= 100 for line in output.splitlines() if not line.startswith(named))
    assert "semantic tier" in output
    assert "started anew" in output
    for arm in ("bare", "plugins", "anew"):
        assert LatencyReport.load(tmp_path / f"{framework}-{arm}.json").runs == len(SCENARIO)
        assert "<svg" in (tmp_path / f"{framework}-{arm}.html").read_text(encoding="utf-8")


def test_demo_of_an_unknown_framework_says_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["demo", "--out", str(tmp_path), "--framework", "haystack"]) == 1
    assert "must be one of ['langchain', 'llamaindex'], got 'haystack'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "extras"),
    [
        (["demo"], ("'agentperf-pack[langchain,openai]'", "'agentperf-pack[llamaindex]'")),
        (["demo", "--framework", "llamaindex"], ("'agentperf-pack[llamaindex]'",)),
        (["bench"], ("'agentperf-pack[langchain,openai]'",)),
    ],
)
def test_a_command_without_its_framework_says_what_to_install(
    command: list[str],
    extras: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("agentperf_core.cli.demo.desk_agents", dict)
    monkeypatch.setattr("agentperf_core.cli.bench.desk_agents", dict)
    assert main(command) == 1
    error = capsys.readouterr().err
    assert all(extra in error for extra in extras)


def test_version_is_printed(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("agentperf-pack ")


def test_bench_prints_a_ratio_with_its_spread(capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "--runs", "1", "--warmup", "1", "--time-scale", "0"]) == 0
    assert "with plug-ins" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["demo", "bench"])
def test_with_key_and_url_in_the_environment_requests_go_there(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    with ScriptedEndpoint(desk_reply, time_scale=0) as real:
        monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
        monkeypatch.setenv("OPENAI_BASE_URL", real.base_url)
        options = {
            "demo": ["--out", str(tmp_path)],
            "bench": ["--runs", "1", "--warmup", "1"],
        }
        assert main([command, *options[command], "--framework", "langchain"]) == 0
        assert len(real.requests) >= sum(turn.llm_calls for turn in SCENARIO)
    output = capsys.readouterr().out
    assert "at OPENAI_BASE_URL" in output
    assert "stand-in" not in output
    assert "secret-key" not in output
