"""Sets of tool calls that models are tested with, run through executor and graph.

The Berkeley Function Calling Leaderboard gives calls for one message (parallel) and for turns of a
dialogue whose calls work on shared state (multi-turn); LLMCompiler's questions say how many things
they compare. None has durations: they are drawn from a seed.
"""

from __future__ import annotations

import ast
import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from plan_tools import Bench, answers_of

from agentperf_core.flow import arun
from agentperf_core.testing import VirtualTime
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import PlannedCall, ToolExecutor
from agentperf_core.tools.references import literal
from agentperf_core.types import ToolCall

DATA = Path(os.environ.get("AGENTPERF_DATA", "")) / "tools"
BFCL, LLMCOMPILER = DATA / "bfcl", DATA / "llmcompiler" / "parallelqa_dataset.json"
needs_bfcl = pytest.mark.skipif(not BFCL.is_dir(), reason="AGENTPERF_DATA has no tools/bfcl")


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (BFCL / name).read_text("utf-8").splitlines()]


# Parallel calls


def parallel_calls(name: str) -> list[list[ToolCall]]:
    """The true calls of each question, with the first of the values that count as right."""
    found: list[list[ToolCall]] = []
    for line in lines_of(f"answer_BFCL_v4_{name}.json"):
        named = [item for call in line["ground_truth"] for item in call.items()]
        found.append(
            [
                ToolCall(f"call_{n}", tool, {key: values[0] for key, values in arguments.items()})
                for n, (tool, arguments) in enumerate(named)
            ]
        )
    return found


@needs_bfcl
@pytest.mark.parametrize("name", ["parallel", "parallel_multiple"])
def test_parallel_calls_all_run_at_once_each_as_it_was_asked_for(name: str):
    """A message through the executor, and the same as a plan: same results, in call order."""
    rng, time = Random(1), VirtualTime()
    executor = ToolExecutor(clock=time)
    for calls in parallel_calls(name):
        seconds = {call.id: rng.paretovariate(1.5) for call in calls}
        bench = Waiting({call.name: print for call in calls}, clock=time, seconds=seconds)
        begun = time.monotonic()
        of_message = time.run(arun(executor.call_all([bench.job(call) for call in calls])))
        took = time.monotonic() - begun
        plan = [PlannedCall(call.id, call.name, literal(call.arguments)) for call in calls]
        graph = bench.graph(plan)
        of_plan = time.run(arun(executor.call_plan(graph, bench.plan_tools())))
        assert answers_of(of_message) == [[call.name, call.arguments] for call in calls]
        assert answers_of(of_plan) == answers_of(of_message)
        assert [len(group) for group in graph.groups()] == [len(calls)]
        assert took == pytest.approx(max(seconds.values()), abs=1e-6)


class Waiting(Bench):
    """Tools that take the time that was drawn for a call."""

    def __init__(self, *args: Any, seconds: Mapping[str, float], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seconds = seconds

    async def _acall(self, call: ToolCall) -> dict[str, Any]:
        self.note("start", call)
        await asyncio.sleep(self.seconds[call.id])
        self.note("end", call)
        return {"value": self.result_of(call)}

    def result_of(self, call: ToolCall) -> Any:
        """How it was called."""
        return [call.name, call.arguments]


# Calls of stateful tools


@cache
def signatures() -> dict[str, tuple[str, list[str]]]:
    """Each tool's class, by the file that describes it, and the names of its parameters."""
    found: dict[str, tuple[str, list[str]]] = {}
    for file in sorted((BFCL / "func_doc").glob("*.json")):
        for line in file.read_text("utf-8").splitlines():
            tool = json.loads(line)
            found[tool["name"]] = file.stem, list(tool["parameters"]["properties"])
    return found


def turns() -> list[list[ToolCall]]:
    """The true calls of every turn that has several."""
    found: list[list[ToolCall]] = []
    for line in lines_of("answer_BFCL_v4_multi_turn_base.json"):
        for turn in line["ground_truth"]:
            calls = [ToolCall(f"call_{n}", *parsed(text)) for n, text in enumerate(turn)]
            if len(calls) > 1:
                found.append(calls)
    return found


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a call that is written as Python."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    names = signatures()[call.func.id][1]
    by_place = {name: ast.literal_eval(arg) for name, arg in zip(names, call.args, strict=False)}
    by_name = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
    return call.func.id, by_place | by_name


class Stateful(Waiting):
    """Every tool gives what its class has been through: what came before, in order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.history: dict[str, list[str]] = defaultdict(list)

    def result_of(self, call: ToolCall) -> Any:
        own = self.history[signatures()[call.name][0]]
        own.append(call.id)
        return list(own)


def declared(how: str) -> dict[str, ToolPolicy]:
    policies = {
        "writes": lambda home: ToolPolicy(writes=[home]),
        "exclusive": lambda home: ToolPolicy(exclusive=home),
    }
    return {
        tool: ToolPolicy(read_only=True) if home == "math_api" else policies[how](home)
        for tool, (home, _) in signatures().items()
    }


def longest_class_s(calls: Sequence[ToolCall], seconds: Mapping[str, float]) -> float:
    """What a turn takes if each class runs its own calls one by one, but for pure mathematics."""
    of_class: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        of_class[signatures()[call.name][0]].append(seconds[call.id])
    return max(max(own) if home == "math_api" else sum(own) for home, own in of_class.items())


@needs_bfcl
@pytest.mark.parametrize("how", ["writes", "exclusive"])
@pytest.mark.parametrize("as_plan", [False, True])
def test_calls_of_stateful_tools_keep_their_order_and_others_do_not_wait(how: str, as_plan: bool):
    """`cd`, `mkdir`, `mv`: in order. A tweet meanwhile: at once. As if they ran one by one."""
    rng, policies, sooner = Random(1), declared(how), 0
    for calls in turns():
        seconds = {call.id: rng.paretovariate(1.5) for call in calls}
        time, tools = VirtualTime(), {call.name: print for call in calls}
        own = {name: policies[name] for name in tools}
        bench = Stateful(tools, own, clock=time, seconds=seconds)
        executor = ToolExecutor(clock=time)
        if as_plan:
            plan = [PlannedCall(call.id, call.name, literal(call.arguments)) for call in calls]
            flow = executor.call_plan(bench.graph(plan), bench.plan_tools())
        else:
            flow = executor.call_all([bench.job(call) for call in calls])
        answers = answers_of(time.run(arun(flow)))
        one_by_one = Stateful(tools, seconds=seconds)
        for call, answer in zip(calls, answers, strict=True):
            assert signatures()[call.name][0] == "math_api" or answer == one_by_one.result_of(call)
        assert bench.makespan_s == pytest.approx(longest_class_s(calls, seconds), abs=1e-6)
        sooner += bench.makespan_s < sum(seconds.values()) - 1e-6
    assert sooner > 10, "turns with calls of several classes"


# Fan out and join


class Comparing(Waiting):
    """Searches and calculations, which give numbers."""

    def result_of(self, call: ToolCall) -> Any:
        if call.name == "search":
            return {"found": [len(call.arguments["query"])]}
        return call.arguments["text"] if call.name == "join" else 2 * call.arguments["number"]


@pytest.mark.skipif(not LLMCOMPILER.is_file(), reason="AGENTPERF_DATA has no tools/llmcompiler")
def test_comparisons_fan_out_and_join():
    """A search and a calculation for each thing that a question compares, then the answer.

    The data says how many things; the shape of the plan is the one that its authors describe.
    """
    rng, tools = Random(1), dict.fromkeys(("search", "math", "join"), print)
    for question in json.loads(LLMCOMPILER.read_text("utf-8")):
        things = range(question["branch"])
        searches = [{"id": n, "tool": "search", "args": {"query": "thing"}} for n in things]
        sums = [
            {"id": f"m{n}", "tool": "math", "args": {"number": f"${n}.found[0]"}} for n in things
        ]
        text = ", ".join(f"${{m{n}}}" for n in things)
        plan = [*searches, *sums, {"id": "join", "tool": "join", "args": {"text": text}}]
        seconds = {str(call["id"]): rng.paretovariate(1.5) for call in plan}
        bench = Comparing(tools, seconds=seconds)
        assert answers_of(bench.virtually(plan))[-1] == ", ".join(["10"] * len(things))
        groups = bench.graph(plan).groups()
        assert [len(group) for group in groups] == [len(things), len(things), 1]
        both = max(seconds[str(n)] + seconds[f"m{n}"] for n in things)
        assert bench.makespan_s == pytest.approx(both + seconds["join"], abs=1e-6)
