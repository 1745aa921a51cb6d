"""Texts to calibrate and to test the token estimate on, from what our dependencies install.

Every text belongs to one file, and a file is either for calibration or held out, by a checksum of
its path: no file is on both sides. Chinese and the other scripts come from `token_texts/` (written
for this purpose, train and held-out files apart) and from the translated messages that pyright
ships. With AGENTPERF_DATA set, real agent runs and passages are added, held out only.
"""

from __future__ import annotations

import ast
import gzip
import json
import os
import re
import sysconfig
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

Split = dict[str, dict[str, list[str]]]  # "train" or "heldout" -> kind of text -> texts

HERE = Path(__file__).parent
STDLIB = Path(sysconfig.get_path("stdlib"))
SITE = Path(sysconfig.get_path("purelib"))
CHARS = 2000  # length of one text: about a long chat message
SCRIPTS = {
    "japanese": "[\u3040-\u30ff]",
    "korean": "[\uac00-\ud7af]",
    "russian": "[\u0400-\u04ff]",
    "chinese": "[\u4e00-\u9fff]",
    "european": "[\u00c0-\u024f]",
}


def files(root: Path, *suffixes: str, keep_one_in: int = 1) -> Iterator[tuple[str, str]]:
    """Path below `root` and text of files of 1.5 to 600 kB, in a fixed order."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - {"__pycache__", "site-packages"})
        for name in sorted(names):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if not name.endswith(suffixes) or zlib.crc32(relative.encode()) % keep_one_in:
                continue
            if 1_500 < path.stat().st_size < 600_000:
                try:
                    yield relative, path.read_text("utf-8")
                except UnicodeDecodeError:
                    continue


def prose() -> Iterator[tuple[str, str]]:
    """READMEs of packages and the doc strings of the standard library."""
    for name, text in files(SITE, "METADATA", ".md", "LICENSE"):
        yield name, text.partition("\n\n")[2] if name.endswith("METADATA") else text
    for name, text in files(STDLIB, ".py", keep_one_in=4):
        try:
            nodes = ast.walk(ast.parse(text))
        except SyntaxError:
            continue
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        docs = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]
        yield name, "\n\n".join(doc for doc in docs if len(doc) > 200)


def code() -> Iterator[tuple[str, str]]:
    """Python of the standard library and of packages, and what C, JS and CSS they ship.

    Half of the standard library's files get line numbers, as file-reading tools show them.
    """
    for number, (name, text) in enumerate(files(STDLIB, ".py", keep_one_in=8)):
        mark = (":", "\t", "| ")[number % 3]
        lines = (f"{i}{mark}{line}" for i, line in enumerate(text.splitlines(), 1))
        yield name, text if number % 2 else "\n".join(lines)
    yield from files(SITE, ".py", keep_one_in=32)
    yield from files(SITE, ".c", ".h", ".js", ".css", ".html")


def jsons() -> Iterator[tuple[str, str]]:
    """JSON files of packages, each written compactly and with indents."""
    for name, text in files(SITE, ".json"):
        try:
            data = json.loads(text)
        except ValueError:
            continue
        yield name, json.dumps(data)
        yield name, json.dumps(data, indent=2, ensure_ascii=False)


def messages() -> dict[str, list[str]]:
    """The translated messages in pyright, by script."""
    source = SITE / "pyright/dist/dist/pyright-internal.js"
    found: dict[str, list[str]] = {script: [] for script in SCRIPTS}
    text = source.read_text("utf-8") if source.exists() else ""
    for raw in re.findall(r'":"(.{1,1500}?)"(?=[,}])', text):
        if re.search("[\u0900-\u0e7f]", raw):
            continue  # the pseudo language that translators test with
        for script, pattern in SCRIPTS.items():
            if re.search(pattern, raw):
                message = raw.replace('\\\\"', '"').replace("\\'", "'").replace("\\\\n", "\n")
                found[script].append(message)
                break
    return found


def pieces(text: str, size: int = CHARS) -> list[str]:
    return [text[i : i + size] for i in range(0, max(len(text) - size // 2, 1), size)]


def paragraphs(name: str) -> list[str]:
    return (HERE / "token_texts" / f"{name}.txt").read_text("utf-8").strip().split("\n\n")


def add(split: Split, kind: str, source: Iterable[tuple[str, str]], per_file: int) -> None:
    for name, text in source:
        parts = [part for part in pieces(text) if len(part) > CHARS // 2]
        Random(name).shuffle(parts)
        side = "heldout" if zlib.crc32(f"side {name}".encode()) % 2 else "train"
        split[side][kind] += parts[:per_file]


def build() -> Split:
    """All texts, split."""
    split: Split = {"train": defaultdict(list), "heldout": defaultdict(list)}
    add(split, "English", prose(), 3)
    add(split, "code", code(), 2)
    add(split, "JSON", jsons(), 4)
    for side in split:
        split[side]["Chinese"] += paragraphs(f"chinese_{side}")
        split[side]["other scripts"] += paragraphs(f"other_{side}")
    for script, found in messages().items():
        for number, part in enumerate(pieces("\n".join(found), CHARS // 2)):
            side = "heldout" if number % 2 else "train"
            split[side][f"messages, {script}"].append(part)
    return split


def real_runs() -> dict[str, list[str]]:
    """Texts that nobody here wrote, from the data folder; empty without AGENTPERF_DATA."""
    root = Path(os.environ.get("AGENTPERF_DATA", ""))
    kinds: dict[str, list[str]] = defaultdict(list)
    runs = root / "tools/tau_bench/gpt-4o-airline.json"
    if os.environ.get("AGENTPERF_DATA") and runs.exists():
        turns = [turn for run in json.loads(runs.read_text("utf-8")) for turn in run["traj"]]
        for turn in turns:
            text = turn.get("content") or ""
            if len(text) > 200:
                kind = "real JSON (tau-bench)" if text[0] in "{[" else "real chat (tau-bench)"
                kinds[kind].append(text)
        passages = root / "memory/questions/nq-open-oracle-part1.jsonl.gz"
        with gzip.open(passages, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        kinds["real English (NQ passages)"] = [row["ctxs"][0]["text"] for row in rows]
        for path in sorted((root / "memory/swe_agent").glob("*.traj")):
            turns = json.loads(path.read_text("utf-8"))["history"]
            texts = [t["content"] for t in turns if isinstance(t["content"], str)]
            kinds["real code (SWE-agent)"] += [p for t in texts if len(t) > 1000 for p in pieces(t)]
    return {kind: Random(kind).sample(texts, min(len(texts), 300)) for kind, texts in kinds.items()}
