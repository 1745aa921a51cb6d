"""Token counts: equal to the public chat rule with tiktoken, close without it, never a download."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tiktoken.registry
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.accounting import ChatFormat, TokenCounter, encodings
from agentperf_core.accounting._memo import Memo
from agentperf_core.accounting.estimate import CL100K, O200K, Rates, classes, estimate_tokens
from agentperf_core.errors import ConfigError
from agentperf_core.types import Message, ToolCall

TEXTS = Path(__file__).parent / "token_texts"
O200K_URL = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
O200K_FILE = hashlib.sha1(O200K_URL.encode()).hexdigest()


def bundled_cache() -> Path:
    package = find_spec("llama_index")
    assert package
    roots = package.submodule_search_locations or []
    return next(p for root in roots if (p := Path(root, "core/_static/tiktoken_cache")).is_dir())


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not loaded an encoding yet."""
    monkeypatch.setattr(encodings, "_loaded", {})
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})


@pytest.fixture
def bare_machine(fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No encoding on disk and no network; returns the (empty) cache folder of the user."""

    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("requests.get", refuse)
    monkeypatch.setattr(encodings, "find_spec", lambda name: None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    return tmp_path


# ---------------------------------------------------------------- the public rule, written anew


def rule_for_messages(messages: list[dict[str, str]], encoding: tiktoken.Encoding) -> int:
    """3 a message, every value encoded, 1 more for a name, 3 for the reply."""
    total = 3
    for message in messages:
        total += 3 + sum(len(encoding.encode(value)) for value in message.values())
        total += 1 if "name" in message else 0
    return total


def rule_for_tools(tools: list[dict[str, Any]], encoding: tiktoken.Encoding, init: int) -> int:
    """The function part of the public rule, for tools that state everything."""
    if not tools:
        return 0

    def size(text: str) -> int:
        return len(encoding.encode(text))

    total = 12
    for function in (tool["function"] for tool in tools):
        total += init + size(function["name"] + ":" + function["description"].removesuffix("."))
        properties = function["parameters"]["properties"]
        total += 3 if properties else 0
        for key, prop in properties.items():
            total += 3 + size(f"{key}:{prop['type']}:{prop['description'].removesuffix('.')}")
            if "enum" in prop:
                total += -3 + sum(3 + size(value) for value in prop["enum"])
    return total


def tool(name: str, description: str, **properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


ORDER = {"type": "string", "description": "The order, such as A-1027."}
CABIN = {"type": "string", "description": "Cabin class", "enum": ["economy", "premium economy"]}


@dataclass(frozen=True)
class Case:
    name: str
    messages: list[dict[str, str]]
    tools: list[dict[str, Any]] = field(default_factory=list)


SYSTEM = {"role": "system", "content": "You are a support agent. Be brief."}
USER = {"role": "user", "content": "Where is my parcel? 我的包裹在哪里。 Order A-1027."}
ANSWER = {"role": "assistant", "content": "It left the depot on 3 May at 14:05.\n\nAnything else?"}
NAMED = {"role": "user", "name": "anna_keller", "content": "And mine?"}
CASES = [
    Case("empty", []),
    Case("user", [USER]),
    Case("system and user", [SYSTEM, USER]),
    Case("a name", [SYSTEM, NAMED]),
    Case("empty content", [{"role": "assistant", "content": ""}]),
    Case("a dialogue", [SYSTEM, USER, ANSWER, NAMED, ANSWER, USER]),
    Case("a tool without properties", [USER], [tool("list_orders", "List all orders.")]),
    Case("one tool", [SYSTEM, USER], [tool("get_order", "Look an order up.", order_id=ORDER)]),
    Case("an enum", [USER], [tool("upgrade", "Change the cabin", order_id=ORDER, cabin=CABIN)]),
    Case(
        "several tools",
        [SYSTEM, USER, ANSWER],
        [
            tool("get_order", "Look an order up.", order_id=ORDER),
            tool("list_orders", "List all orders."),
            tool("upgrade", "Change the cabin", cabin=CABIN, order_id=ORDER),
        ],
    ),
]


@pytest.mark.parametrize(
    ("model", "name", "init"),
    [("gpt-4o-mini", "o200k_base", 7), ("gpt-4", "cl100k_base", 10)],
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_counts_as_the_public_rule_says(
    case: Case, model: str, name: str, init: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(bundled_cache()))
    encoding = tiktoken.get_encoding(name)
    counter = TokenCounter.for_model(model)
    messages = [
        Message(role=m["role"], text=m["content"], name=m.get("name"))  # pyright: ignore[reportArgumentType] - roles of the cases above
        for m in case.messages
    ]
    expected = rule_for_messages(case.messages, encoding)
    expected += rule_for_tools(case.tools, encoding, init)
    assert (counter.method, counter.encoding) == ("tiktoken", name)
    for _ in range(2):  # the second time from the memo
        assert counter.count_messages(messages, tools=case.tools) == expected


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base", "o200k_harmony"])
def test_an_encoding_built_from_disk_is_the_one_that_tiktoken_builds(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pins the trick of running tiktoken's definitions with our reader to tiktoken's own result."""
    ours = encodings.load_encoding(name)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(bundled_cache()))
    theirs = tiktoken.get_encoding(name)
    assert ours is not None
    assert ours is not theirs
    assert ours.n_vocab == theirs.n_vocab
    for path in TEXTS.glob("*.txt"):
        assert ours.encode(path.read_text("utf-8")) == theirs.encode(path.read_text("utf-8"))
    assert ours.encode("<|endoftext|>", allowed_special="all") == [ours.eot_token]


def test_markers_of_the_model_in_a_text_count_as_plain_text() -> None:
    """The `encode` of tiktoken raises on them; a user may well paste one."""
    assert TokenCounter.for_model("gpt-4o").count_text("<|endoftext|>") > 1


# ---------------------------------------------------------------- where encodings come from


def test_without_a_file_on_disk_the_counter_estimates_and_never_opens_a_socket(
    bare_machine: Path,
) -> None:
    counter = TokenCounter.for_model("gpt-4o")
    assert (counter.method, counter.encoding) == ("estimate", "o200k_base")
    assert 0 < counter.expected_error < 0.1
    assert counter.count_messages([Message(role="user", text="hello there")]) > 0
    old = TokenCounter.for_model("gpt-3.5-turbo")
    assert (old.method, old.encoding) == ("estimate", "cl100k_base")
    assert old.chat.func_init == 10


@pytest.mark.parametrize("variable", ["TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"])
def test_the_users_own_tiktoken_cache_is_used(
    variable: str, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv(variable, str(bare_machine))
    shutil.copy(bundled_cache() / O200K_FILE, bare_machine)
    counter = TokenCounter.for_model("gpt-4o")
    assert (counter.method, counter.count_text("hello world")) == ("tiktoken", 2)
    assert TokenCounter.for_model("gpt-4").method == "estimate"


def test_a_damaged_cache_file_is_not_used_and_not_touched(bare_machine: Path) -> None:
    path = bare_machine / O200K_FILE
    path.write_bytes(b"aGVsbG8= 0\n")
    assert TokenCounter.for_model("gpt-4o").method == "estimate"
    assert path.read_bytes() == b"aGVsbG8= 0\n"


def test_an_empty_cache_variable_means_no_cache(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert TokenCounter.for_model("gpt-4o").method == "estimate"


@pytest.mark.parametrize("broken", ["tiktoken.model", "tiktoken.registry"])
def test_without_tiktoken_the_counter_estimates(
    broken: str, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, broken, None)
    assert TokenCounter.for_model("gpt-4o").method == "estimate"


def test_a_tiktoken_of_another_shape_costs_exactness_not_the_call(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr("tiktoken.load.load_tiktoken_bpe")
    assert TokenCounter.for_model("gpt-4o").method == "estimate"
    assert "token counts are estimates" in caplog.text


def test_importing_and_counting_loads_no_framework_and_nothing_before_its_use() -> None:
    script = """
import sys
import agentperf_core.accounting as accounting
early = {"tiktoken", "genai_prices", "llama_index", "numpy"} & set(sys.modules)
method = accounting.TokenCounter.for_model("gpt-4o").method
late = {"llama_index", "llama_index.core", "genai_prices"} & set(sys.modules)
print(sorted(early), method, sorted(late))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["[]", "tiktoken", "[]"]


@pytest.mark.parametrize(
    ("model", "method", "encoding"),
    [
        ("gpt-4o-2024-08-06", "tiktoken", "o200k_base"),
        ("gpt-5-mini", "tiktoken", "o200k_base"),
        ("gpt-3.5-turbo-0125", "tiktoken", "cl100k_base"),
        ("ft:gpt-4o:acme::x1", "tiktoken", "o200k_base"),
        ("azure/gpt-4o", "tiktoken", "o200k_base"),
        ("openrouter/openai/gpt-4o-mini", "tiktoken", "o200k_base"),
        ("claude-sonnet-4-0", "estimate", "o200k_base"),
        ("my-deployment", "estimate", "o200k_base"),
    ],
)
def test_the_model_decides_the_counter(model: str, method: str, encoding: str) -> None:
    counter = TokenCounter.for_model(model)
    assert (counter.method, counter.encoding) == (method, encoding)


# ---------------------------------------------------------------- the estimate


@pytest.mark.parametrize("rates", [O200K, CL100K], ids=lambda rates: rates.encoding)
@pytest.mark.parametrize("kind", ["english", "chinese", "code", "json"])
def test_the_estimate_is_within_ten_percent_on_texts_it_was_not_fitted_on(
    kind: str, rates: Rates
) -> None:
    text = (TEXTS / f"{kind}.txt").read_text("utf-8")
    counter = TokenCounter.for_encoding(rates.encoding)
    assert counter.method == "tiktoken"
    assert estimate_tokens(text, rates) == pytest.approx(counter.count_text(text), rel=0.10)


@given(st.text(st.characters()))
def test_any_text_has_an_estimate_and_only_the_empty_one_has_none(text: str) -> None:
    assert len(classes(text)) == len(text) + 1
    assert (estimate_tokens(text) > 0) == bool(text)


def test_lone_surrogates_are_estimated() -> None:
    assert estimate_tokens("a\ud800b") > 0


@pytest.mark.parametrize(
    ("text", "coded"),
    [
        ("Hi you\n", b"nAa_aaan"),
        ("v1.2", b"na0.0"),
        ("中國。", b"nhtp"),
        ("カタ한글Дж", b"nkkggcc"),
        ("é→😀", b"ness"),
    ],
)
def test_characters_have_the_class_of_their_script(text: str, coded: bytes) -> None:
    assert classes(text) == coded


# ---------------------------------------------------------------- tool calls, blocks, odd tools


def words(text: str) -> int:
    return len(text.split())


PLAIN = ChatFormat(tokens_per_message=100, reply_priming=0)


def test_a_tool_call_counts_its_name_and_its_arguments_as_json() -> None:
    counter = TokenCounter(len, chat=PLAIN)
    calls = (ToolCall("1", "find", {"city": "Köln"}), ToolCall("2", "stop", {}))
    message = Message(role="assistant", tool_calls=calls)
    arguments = len('{"city":"Köln"}') + len("{}")
    assert counter.count_message(message) == 300 + len("assistant") + len("findstop") + arguments


def test_a_tool_result_counts_its_text_and_not_its_id() -> None:
    counter = TokenCounter(len, chat=PLAIN)
    result = Message(role="tool", text="sunny", tool_call_id="call_123456789")
    assert counter.count_message(result) == 100 + len("tool") + len("sunny")


def test_blocks_count_their_words_and_images_a_fixed_price() -> None:
    counter = TokenCounter(len, chat=replace(PLAIN, tokens_per_block=85))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    thought = {"type": "reasoning", "reasoning": "hmm"}
    message = Message(role="user", blocks=(image, thought))
    assert counter.count_message(message) == 100 + len("user") + 85 + len("hmm")


@dataclass(frozen=True)
class OddTool:
    name: str
    schema: dict[str, Any]
    lines: list[str]
    keys: int


ODD_TOOLS = [
    OddTool("no type or text", {"properties": {"a": {}}}, ["f:d", "a::"], 1),
    OddTool(
        "two types", {"properties": {"a": {"type": ["string", "null"]}}}, ["a:string|null:"], 1
    ),
    OddTool(
        "an optional one",
        {"properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}},
        ["a:integer|null:"],
        1,
    ),
    OddTool(
        "nested objects",
        {"properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}},
        ["a:object:", "b:string:"],
        2,
    ),
    OddTool(
        "objects in an array",
        {
            "properties": {
                "a": {"type": "array", "items": {"properties": {"b": {"type": "string"}}}}
            }
        },
        ["a:array:", "b:string:"],
        2,
    ),
    OddTool(
        "definitions",
        {"properties": {}, "$defs": {"X": {"properties": {"b": {"type": "string"}}}}},
        ["b:string:"],
        1,
    ),
    OddTool("no parameters at all", {}, ["f:d"], 0),
]


@pytest.mark.parametrize("odd", ODD_TOOLS, ids=lambda odd: odd.name)
def test_schemas_beyond_the_public_rule_are_counted_and_not_refused(odd: OddTool) -> None:
    seen: list[str] = []

    def note(text: str) -> int:
        seen.append(text)
        return 0

    definition = {"function": {"name": "f", "description": "d", "parameters": odd.schema}}
    keys = replace(PLAIN, func_init=0, func_end=0, prop_init=0, prop_key=1)
    assert TokenCounter(note, chat=keys).count_tools([definition]) == odd.keys
    assert set(odd.lines) <= set(seen)


def test_enum_values_that_are_no_text_count_as_json() -> None:
    seen: list[str] = []
    counter = TokenCounter(lambda text: seen.append(text) or 1)
    counter.count_tools([tool("f", "d", a={"type": "integer", "enum": [10, None]})])
    assert {"10", "null"} <= set(seen)


def test_a_tool_of_the_provider_counts_as_its_json() -> None:
    builtin = {"type": "web_search", "max_uses": 3}
    counter = TokenCounter(len)
    expected = len(json.dumps(builtin, separators=(",", ":"))) + 7 + 12
    assert counter.count_tools([builtin]) == expected


def test_arguments_that_json_lacks_are_counted() -> None:
    counter = TokenCounter(len)
    odd = {"when": object, "big": 2**70, "text": "\ud800", "set": {1}}
    call = ToolCall("1", "f", odd)
    assert counter.count_message(Message(role="assistant", tool_calls=(call,))) > 0


# ---------------------------------------------------------------- the memo


def counting() -> tuple[TokenCounter, list[str]]:
    seen: list[str] = []

    def count(text: str) -> int:
        seen.append(text)
        return len(text)

    return TokenCounter(count), seen


def test_a_conversation_that_grew_is_counted_for_the_new_message_only() -> None:
    counter, seen = counting()
    tools = [tool("get_order", "Look an order up.", order_id=ORDER)]
    history = [Message(role="user", text=f"question {n}") for n in range(20)]
    counter.count_messages(history, tools=tools)
    seen.clear()
    rebuilt = [Message(role="user", text=f"question {n}") for n in range(21)]
    counter.count_messages(rebuilt, tools=json.loads(json.dumps(tools)))
    assert seen == ["user", "question 20"]


def test_a_message_changed_in_place_is_counted_as_what_it_is_now() -> None:
    counter, _ = counting()
    arguments = {"city": "Rome"}
    message = Message(role="assistant", tool_calls=(ToolCall("1", "find", arguments),))
    before = counter.count_message(message)
    arguments["city"] = "Reykjavik"
    assert counter.count_message(message) == before + len("Reykjavik") - len("Rome")
    block = {"type": "reasoning", "reasoning": "short"}
    thinking = Message(role="assistant", blocks=(block,))
    before = counter.count_message(thinking)
    block["reasoning"] = "longer than that"
    assert counter.count_message(thinking) > before


def test_what_two_messages_share_does_not_mix_them_up() -> None:
    counter, _ = counting()
    same = [
        Message(role="user", text="a"),
        Message(role="system", text="a"),
        Message(role="user", name="a"),
        Message(role="user", text="a", blocks=({"type": "image"},)),
        Message(role="assistant", text="a", tool_calls=(ToolCall("1", "a", {}),)),
    ]
    alone = [counting()[0].count_message(message) for message in same]
    assert [counter.count_message(message) for message in same] == alone


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(0, 5000))
def test_the_memo_stays_under_its_limit_and_never_changes_a_count(
    keys: list[int], limit: int
) -> None:
    memo = Memo(limit)
    for key in keys:
        assert memo.get(key, key * 10, lambda key=key: key * 7) == key * 7
        assert 0 <= memo.bytes <= limit


def test_the_memo_drops_what_was_not_used_for_longest() -> None:
    memo = Memo(2 * Memo.ENTRY_BYTES)
    for key in ("a", "b", "a", "c"):
        memo.get(key, 0, lambda: 1)
    assert len(memo) == 2
    assert memo.get("a", 0, lambda: 2) == 1
    assert memo.get("b", 0, lambda: 2) == 2


def test_without_a_memo_every_message_is_counted_anew() -> None:
    seen: list[str] = []
    counter = TokenCounter(lambda text: seen.append(text) or 1, memo_bytes=0)
    for _ in range(2):
        counter.count_message(Message(role="user", text="x"))
    assert seen == ["user", "x"] * 2


def test_threads_get_the_same_counts_and_the_memo_keeps_its_books() -> None:
    counter = TokenCounter(len, memo_bytes=20_000)
    messages = [Message(role="user", text="word " * n) for n in range(60)]
    alone = [TokenCounter(len).count_message(message) for message in messages]
    start = threading.Barrier(8)

    def work(_: int) -> list[int]:
        start.wait()
        return [counter.count_message(m) for _ in range(20) for m in messages][-60:]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [alone] * 8
    assert counter._memo.bytes == sum(size for _, size in counter._memo._entries.values())
    assert counter._memo.bytes <= 20_000


@pytest.mark.usefixtures("fresh")
def test_threads_that_need_an_encoding_at_once_share_one() -> None:
    start = threading.Barrier(4)

    def load(_: int) -> object:
        start.wait()
        return encodings.load_encoding("cl100k_base")

    with ThreadPoolExecutor(4) as pool:
        assert len({id(found) for found in pool.map(load, range(4))}) == 1


# ---------------------------------------------------------------- other tokenizers


class MarkingTokenizer:
    """As Hugging Face's: marks around the text unless told not to."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        marks = 2 if add_special_tokens else 0
        return [0] * (len(text.split()) + marks)


class PlainTokenizer:
    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    def encode(self, text: str) -> list[str]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        found = text.split()
        self.inside -= 1
        return found


@pytest.mark.parametrize("tokenizer", [MarkingTokenizer(), PlainTokenizer()])
def test_a_tokenizer_counts_the_text_without_its_own_marks(tokenizer: Any) -> None:
    counter = TokenCounter(tokenizer)
    assert (counter.method, counter.expected_error) == ("tokenizer", 0.0)
    assert counter.count_text("three little words") == 3


def test_a_tokenizer_is_never_entered_by_two_threads_at_once() -> None:
    """Fast Hugging Face tokenizers raise "Already borrowed" when they are."""
    tokenizer = PlainTokenizer()
    counter = TokenCounter(tokenizer)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(counter.count_text, ["some words"] * 400))
    assert tokenizer.most == 1


def test_a_tiktoken_encoding_can_be_passed_directly() -> None:
    encoding = encodings.load_encoding("cl100k_base")
    counter = TokenCounter(encoding)
    assert (counter.method, counter.encoding) == ("tiktoken", "cl100k_base")


def test_a_callable_counts() -> None:
    counter = TokenCounter(words)
    assert (counter.method, counter.encoding) == ("callable", None)
    assert counter.count_text("one two") == 2


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: TokenCounter("gpt-4o"), "for_model"),  # pyright: ignore[reportArgumentType] - the mistake under test
        (lambda: TokenCounter(42), "got 42"),  # pyright: ignore[reportArgumentType] - same
        (lambda: TokenCounter(memo_bytes=-1), "got -1"),
        (lambda: TokenCounter.for_model(""), "got ''"),
        (lambda: TokenCounter.for_model("  "), "got '  '"),
        (lambda: TokenCounter.for_encoding("o300k_base"), "'o300k_base'"),
        (lambda: TokenCounter().count_tools([print]), "'builtin_function_or_method'"),  # pyright: ignore[reportArgumentType] - same
        (lambda: TokenCounter().count_tools([{"function": {}}]), "got None"),
    ],
    ids=["a name", "a number", "memo", "empty", "blank", "encoding", "tool object", "no name"],
)
def test_bad_input_is_refused_with_the_value_in_the_message(attempt: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        attempt()
