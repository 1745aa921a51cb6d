"""The cache commands as a user types them, on a file and a server that another process filled."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from agentperf_core.__main__ import main
from agentperf_core.bench.servers import RedisServer
from agentperf_core.cache import ToolCounts, ToolStats
from agentperf_core.cache.semantic.shared import SharedQuestions
from agentperf_core.cache.stats import CacheStats
from agentperf_core.cache.stores.opening import open_store
from agentperf_core.cache.totals import stats_record
from agentperf_core.cli import cache_progress
from agentperf_core.clock import SYSTEM_CLOCK

TOOLS = Path(__file__).parents[1] / "core"
APP = """
import sys
from semantic_tools import Answer, Codec, Desk, asked
from agentperf_core.cache import AnswerFacts, ExactCache
from agentperf_core.cache.stores.opening import open_store
from agentperf_core.flow import Step, run
from agentperf_core.types import Usage

USAGE = Usage(uncached_input_tokens=900, output_tokens=100)

class Priced(Codec):
    def facts(self, answer):
        return AnswerFacts(finish_reason="stop", usage=USAGE, model="gpt-4o-mini")

desk, cache = Desk(), ExactCache(open_store(sys.argv[1], namespace=sys.argv[2]))
for text in ("What is a loan?", "What's a loan?", "What is a loan?", "How do I pay?"):
    request = asked(text, tags=["docs"] if "loan" in text else [])
    run(cache.answer(request, Step(desk.reply, desk.areply, text), Priced()))
"""
WORDS = """
import hashlib

def vectors(texts):
    return [_vector(text.lower().strip("?").split()) for text in texts]

def _vector(words):
    digests = [hashlib.sha256(word.encode()).digest() for word in words]
    weights = [0.1 if word in {"how", "do", "can", "should", "i", "my"} else 1.0 for word in words]
    return [
        sum(w * (digest[place] - 127.5) for w, digest in zip(weights, digests))
        for place in range(32)
    ]
"""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that processes share, said in the environment."""
    url = f"sqlite:{tmp_path}/cache.db"
    if request.param == "redis":
        url = request.getfixturevalue("plain_server").url
    monkeypatch.setenv("AGENTPERF_STORE", url)
    return url


@pytest.fixture
def filled(url: str, namespace: str) -> list[str]:
    """The options that name the part of the store that another process has filled."""
    run_app(url, namespace)
    return ["--namespace", namespace]


def run_app(url: str, namespace: str) -> None:
    subprocess.run([sys.executable, "-c", APP, url, namespace], check=True, cwd=TOOLS)


class Typed:
    """Runs commands and gives what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object, status: int = 0) -> str:
        assert main(["cache", *map(str, arguments)]) == status
        printed = self._capsys.readouterr()
        if status:
            assert printed.err.count("\n") == 1, "an error is one line"
            return printed.err
        return printed.out

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    return Typed(capsys)


def test_stats_adds_up_what_other_processes_did(url: str, filled: list[str], typed: Typed):
    run_app(url, filled[1])
    stats = typed.json("stats", *filled)
    assert (stats["entries"], stats["caches"], stats["requests"]) == (2, 2, 8)
    assert stats["hits"] == {"exact": 4, "normalised": 2}
    assert (stats["misses"], stats["hit_rate"], stats["saved_tokens"]) == (2, 0.75, 6000)
    assert stats["bytes"] == sum(kind["bytes"] for kind in stats["by_kind"].values())
    output = typed("stats", *filled)
    for line in ("hits, normalised", "75.0 %", "saved tokens", "6,000", "2 caches"):
        assert line in output


def test_stats_shows_what_the_tool_caches_did(url: str, namespace: str, typed: Typed):
    one = ["--namespace", namespace]
    store = open_store(url, namespace=namespace)
    search = ToolCounts(hits=3, coalesced=1, misses=4, saved_s=120.0)
    done = ToolStats({"search": search, "pay": ToolCounts(bypasses={"it writes": 2})})
    for number in range(2):
        store.set(f"~toolstats:{number}", stats_record(done, since=0.0, at=60.0), None)
    stats = typed.json("stats", *one)
    assert (stats["caches"], stats["tools"]["hits"], stats["tools"]["saved_s"]) == (2, 6, 240.0)
    assert stats["tools"]["by_tool"]["pay"]["bypasses"] == {"it writes": 4}
    assert stats["by_kind"]["statistics"]["values"] == 2
    output = typed("stats", *one)
    for text in ("search", "50.0 %", "pay", "all", "4 min 00 s", "2 caches"):
        assert text in output
    assert "no entries" in typed("inspect", *one)


def test_stats_shows_false_hits_with_their_interval_and_what_was_discarded(
    url: str, namespace: str, typed: Typed
):
    one = ["--namespace", namespace]
    store = open_store(url, namespace=namespace)
    assert "it holds nothing" in typed("stats", *one)
    wrong = WrongShare(0.004, 0.001, 0.009)
    done = CacheStats(hits={"semantic": 40}, misses=60, false_hits=wrong, discarded={"odd": 3})
    store.set("~stats:1", stats_record(done, since=0.0, at=60.0), None)
    store.set("~stats:2", b"of a later version", None)
    store.set("ab" * 32, b"AP1j", None)
    output = typed("stats", *one)
    for text in (
        "0.40 % of the requests",
        "0.10 % to 0.90 %",
        "discarded: odd",
        "1 entry will be a miss: it is of another version",
        "1 record of another version not counted",
    ):
        assert text in output
    assert typed.json("stats", *one)["false_hits"] == asdict(wrong)
    assert "it is of another version" in typed("inspect", *one)


@dataclass(frozen=True)
class WrongShare:
    rate: float
    low: float
    high: float


def test_inspect_lists_entries_without_their_texts(filled: list[str], typed: Typed):
    output = typed("inspect", *filled)
    assert "gpt-4o-mini" in output
    assert "docs" in output
    assert "loan" not in output
    assert "loan" in typed("inspect", *filled, "--show-text")
    assert "the first 1;" in typed("inspect", *filled, "--limit", 1)


def test_inspect_shows_one_entry_in_full(filled: list[str], typed: Typed):
    listed = typed.json("inspect", *filled)
    (tagged,) = (one for one in listed if one["tags"])
    assert [one["key"] for one in typed.json("inspect", *filled, tagged["key"][:8])] == [
        tagged["key"]
    ]
    shown = typed("inspect", *filled, tagged["key"])
    assert tagged["key"] in shown
    assert "uncached input tokens" in shown
    assert "loan" not in shown
    assert "loan" in typed("inspect", *filled, tagged["key"], "--show-text")
    assert "begins with 'none'" in typed("inspect", *filled, "none", status=1)


def test_invalidate_forgets_by_tag_and_by_key(filled: list[str], typed: Typed):
    assert "forgot 1 entry with the tag 'docs'" in typed("invalidate", *filled, "--tag", "docs")
    assert "no entry has the tag 'docs'" in typed("invalidate", *filled, "--tag", "docs", status=1)
    (left,) = typed.json("inspect", *filled)
    assert "forgot 1 value" in typed("invalidate", *filled, "--key", left["key"][:16])
    assert "'none'" in typed("invalidate", *filled, "--key", "none", status=2)
    assert typed("inspect", *filled) == "no entries\n"


def test_clear_touches_its_own_namespace_only(url: str, filled: list[str], typed: Typed):
    others = open_store(url, namespace=f"{filled[1]}-other")
    others.set("theirs", b"1", None)
    assert "forgot 3 values" in typed("clear", *filled, "--yes")
    assert typed.json("stats", *filled)["entries"] == 0
    assert others.get("theirs") == b"1"


def test_clear_leaves_what_other_programs_keep_in_the_server(
    plain_server: RedisServer, namespace: str, typed: Typed
):
    with Redis.from_url(plain_server.url) as client:
        client.set(f"{namespace}-foreign", "theirs")
        typed("clear", "--yes", "--store", plain_server.url, "--namespace", namespace)
        assert client.delete(f"{namespace}-foreign") == 1


@pytest.mark.parametrize(("answer", "left"), [("n", 2), ("", 2), ("yes", 0)])
def test_clear_asks_where_somebody_can_answer(
    filled: list[str],
    typed: Typed,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    left: int,
    capsys: pytest.CaptureFixture[str],
):
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or answer)
    main(["cache", "clear", *filled])
    capsys.readouterr()
    assert "Forget 3 values (2 entries)" in asked[0]
    assert typed.json("stats", *filled)["entries"] == left


def test_clear_without_a_terminal_wants_to_be_told(filled: list[str], typed: Typed):
    assert "--yes" in typed("clear", *filled, status=2)
    assert typed.json("stats", *filled)["entries"] == 2


# Errors -------------------------------------------------------------------------------------------


def test_a_missing_file_is_one_sentence_and_is_not_made(tmp_path: Path, typed: Typed):
    assert "no file" in typed("stats", "--store", f"sqlite:{tmp_path}/none.db", status=2)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_kind_is_refused_and_stays(tmp_path: Path, typed: Typed):
    file = tmp_path / "notes.txt"
    file.write_text("my notes", encoding="utf-8")
    typed("clear", "--yes", "--store", f"sqlite:{file}", status=2)
    assert file.read_text(encoding="utf-8") == "my notes"


def test_a_server_that_is_gone_is_one_sentence_without_the_password(
    locked_server: RedisServer, typed: Typed
):
    wrong = locked_server.url.replace("redis://:", "redis://:wrong")
    assert ":wrong" not in typed("stats", "--store", wrong, status=1)
    locked_server.stop()
    for action in (["stats"], ["inspect"], ["clear", "--yes"], ["invalidate", "--tag", "x"]):
        error = typed(*action, "--store", locked_server.url, status=1)
        assert "cannot use redis://***@" in error
        assert str(locked_server.password) not in error


@pytest.mark.parametrize(
    ("store", "message"),
    [("", "AGENTPERF_STORE"), ("memory:", "outlives"), ("postgres://u:secret@db/x", "address")],
)
def test_what_is_no_store_is_one_sentence(
    store: str, message: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("AGENTPERF_STORE", raising=False)
    error = typed("stats", "--store", store, status=2)
    assert message in error
    assert "secret" not in error


def test_a_limit_that_is_none_is_refused(filled: list[str], typed: Typed):
    assert "--limit" in typed("inspect", *filled, "--limit", 0, status=2)


# Tuning -------------------------------------------------------------------------------------------


@pytest.fixture
def tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that name the data and an encoder of the user's own."""
    (tmp_path / "my_words.py").write_text(WORDS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    pairs = [
        {
            "a": f"How do I {deed} my {thing}?",
            "b": f"How {form} I {deed} my {thing}?",
            "label": same,
        }
        for deed in ("open", "close", "renew", "share", "cancel", "upgrade")
        for thing in ("card", "account", "loan", "mortgage", "policy")
        for form, same in (("can", 1), ("should", 1), ("do not", 0), ("can never", 0))
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    return ["tune", "--data", str(data), "--embedder", "my_words:vectors"]


def test_tune_shows_every_setting_and_says_which_to_take(tuning: list[str], typed: Typed):
    output = typed(*tuning)
    for text in ("120 pairs", "strict", "balanced", "faq", "as shipped", "take max_error="):
        assert text in output
    assert all(len(line) <= 110 for line in output.splitlines())
    found = typed.json(*tuning, "--max-error", 0.05, "--guards", "balanced")
    assert [trial["guards"] for trial in found["trials"]] == ["balanced", "balanced"]
    assert found["advice"][0]["take"]["max_error"] == 0.05


def test_tune_saves_only_when_told_to_and_asks_before_it_replaces(
    url: str, namespace: str, tuning: list[str], typed: Typed
):
    one = ["--namespace", namespace, "--max-error", 0.05]
    store = open_store(url, namespace=namespace)
    typed(*tuning, *one)
    assert not list(store.scan())
    assert "Saved what" in typed(*tuning, *one, "--save")
    shared = SharedQuestions(store, "my_words.vectors", follow_s=5.0, clock=SYSTEM_CLOCK)
    state = shared.load_state()
    assert state is not None
    assert len(state["pairs"]["labels"]) >= 60
    assert "--yes" in typed(*tuning, *one, "--save", status=2)
    assert "Saved what" in typed(*tuning, *one, "--save", "--yes")
    assert "one budget" in typed(*tuning, "--namespace", namespace, "--save", status=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "none.jsonl"], "none.jsonl"),
        (["--embedder", "my_words:nothing"], "my_words:nothing"),
        (["--embedder", "no_such_module:vectors"], "no_such_module"),
        (["--max-error", "7"], "max_error"),
    ],
)
def test_tune_refuses_what_it_cannot_use(
    tuning: list[str], typed: Typed, arguments: list[str], message: str
):
    assert message in typed(*tuning, *arguments, status=2)


# Progress -----------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_counter_that_leaves_no_trace(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(cache_progress, "_EVERY_S", 0.0)
    with cache_progress.Progress("values read", 2000) as progress:
        progress(1)
        progress(1500)
    shown = terminal.getvalue().split("\r")
    assert "values read: 1,500 of 2,000" in shown
    assert not shown[-1].strip()


def test_progress_is_silent_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(cache_progress, "_EVERY_S", 0.0)
    with cache_progress.Progress("values read") as progress:
        progress(1)
    assert capsys.readouterr().err == ""
