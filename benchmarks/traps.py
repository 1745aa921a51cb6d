"""Single-edit traps and safe rewordings, made from real questions.

A trap changes one thing that changes the answer (a number, a unit, a day, a name, an identifier, a
word for its opposite, a prefix, a negation, the order of arguments, the question word, one slot of
the frame). A safe rewording changes the surface only (case and punctuation, contraction, number
word, politeness, frame of the question, a typing slip). One JSON object per line: `a` (cached), `b`
(asked), `label` (1 = may be served), `kind`. The lists here were written apart from the guards' own
and hold words that the guards do not know.

    python benchmarks/traps.py --data questions.jsonl.gz questions.csv.gz --out traps.jsonl.gz
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import IO

Edit = Callable[[str, Random], str | None]


def groups(text: str) -> list[list[str]]:
    """The words of every line."""
    return [line.split() for line in text.strip().splitlines()]


def couples(text: str) -> list[list[str]]:
    """Words that stand against each other, joined by a slash."""
    return [couple.split("/") for couple in text.split()]


ANTONYMS = couples("""
    buy/sell increase/decrease open/close start/stop before/after more/less high/low higher/lower
    best/worst good/bad long/short old/new add/remove send/receive win/lose male/female men/women
    boys/girls husband/wife mother/father accept/reject import/export hot/cold left/right early/late
    first/last public/private domestic/international positive/negative advantages/disadvantages
    cheap/expensive fast/slow strong/weak maximum/minimum single/married young/old legal/illegal
    borrow/lend deposit/withdraw debit/credit love/hate rich/poor easy/hard safe/dangerous
    true/false right/wrong inside/outside above/below arrive/depart gain/lose hire/fire
    internal/external upload/download permanent/temporary sweet/sour north/south morning/evening
    physical/virtual incoming/outgoing sender/recipient approve/decline thick/thin
""")
PREFIXED = couples("""
    able/unable safe/unsafe healthy/unhealthy happy/unhappy common/uncommon known/unknown
    active/inactive correct/incorrect complete/incomplete possible/impossible legal/illegal
    regular/irregular like/dislike agree/disagree honest/dishonest lock/unlock block/unblock
    install/uninstall follow/unfollow connect/disconnect appear/disappear employed/unemployed
    fair/unfair used/unused verified/unverified successful/unsuccessful authorized/unauthorized
    direct/indirect visible/invisible useful/useless harmful/harmless limited/unlimited
    conscious/unconscious friendly/unfriendly
""")
TIMES = groups("""
    today tomorrow yesterday
    monday tuesday wednesday thursday friday saturday sunday
    january february march april june july august september october november december
    daily weekly monthly yearly
    morning afternoon evening night
    spring summer winter
""")
UNITS = groups("""
    seconds minutes hours days weeks months years
    day week month year
    kg pounds ounces
    km miles metres
    dollars euros pounds rupees
    USD EUR GBP INR AUD
    celsius fahrenheit
    GB MB TB
    percent dollars
""")
SLOTS = groups("""
    basic premium enterprise
    gold silver platinum
    standard express
    savings checking
    visa mastercard
    english spanish french german hindi japanese
    python java ruby javascript
    iphone android
    email sms
    card account phone passport
    dog cat rabbit
    car bike house laptop
    engineering medicine law
    doctor lawyer teacher pilot
    book movie song game
    school college company
""")
ASKED = ["how/why", "when/where", "who/when", "where/when", "why/how", "how many/how long"]
SWAPPED = (
    r"\bfrom (?P<x>\w+) to (?P<y>\w+)\b",
    r"\b(?P<x>\w+) (?:better|worse|bigger|faster|older|stronger|cheaper) than (?P<y>\w+)\b",
    r"\b(?P<x>\w+) (?:before|after|into|over|without|instead of) (?:a |an |the )?(?P<y>\w+)\b",
    r"\bconvert (?P<x>\w+) (?:to|into) (?P<y>\w+)\b",
)
WORDS = couples("zero/one/two/three/four/five/six/seven/eight/nine/ten/eleven/twelve")[0]
CONTRACTED = {
    "what is": "what's", "how is": "how's", "where is": "where's", "who is": "who's",
    "do not": "don't", "does not": "doesn't", "can not": "can't", "cannot": "can't",
    "is not": "isn't", "I am": "I'm", "I have": "I've", "it is": "it's", "did not": "didn't",
    "will not": "won't", "have not": "haven't", "has not": "hasn't", "are not": "aren't",
}  # fmt: skip
POLITE = [
    "Please, {}",
    "Hi, {}",
    "{} Thanks!",
    "Could you please tell me: {}",
    "{} please",
    "Hello! {}",
]
FRAMES = [
    (r"^how (?:do|can|could|should) i (?P<r>.+)$", ["How to {r}", "What is the best way to {r}",
     "Can you tell me how to {r}", "What are the steps to {r}", "How can I {r}", "How do I {r}"]),
    (r"^what is (?P<r>.+)$", ["Can you tell me what is {r}",
     "Could you explain what {r} is", "Tell me what {r} is"]),
    (r"^why (?P<r>(?:is|are|do|does|did|was|were) .+)$",
     ["What is the reason why {r}", "Can you explain why {r}"]),
    (r"^where can i (?P<r>.+)$", ["Can you tell me where I can {r}", "Where could I {r}"]),
    (r"^can i (?P<r>.+)$", ["Is it possible to {r}", "Am I able to {r}", "Could I {r}"]),
]  # fmt: skip


def cased(word: str, model: str) -> str:
    return word.capitalize() if model[:1].isupper() else word


def replaced(text: str, old: str, new: str) -> str | None:
    """The text with one word exchanged, in the case of the old one."""
    found = re.search(rf"(?<![\w'-]){re.escape(old)}(?![\w'-])", text, re.IGNORECASE)
    if found is None or re.search(rf"\b{re.escape(new)}\b", text, re.IGNORECASE):
        return None
    return text[: found.start()] + cased(new, found.group()) + text[found.end() :]


def among(exchangeable: Iterable[Iterable[str]]) -> Edit:
    """Exchange a word for another one of its group."""
    listed = [list(group) for group in exchangeable]

    def edit(text: str, rng: Random) -> str | None:
        choices = [
            (old, new)
            for group in listed
            for old in group
            if re.search(rf"\b{re.escape(old)}\b", text, re.IGNORECASE)
            for new in group
            if new != old
        ]
        return replaced(text, *rng.choice(choices)) if choices else None

    return edit


def number(text: str, rng: Random) -> str | None:
    found = list(re.finditer(r"(?<![\w.,-])\d{1,6}(?![\w,-]|\.\d)", text))
    if not found:
        return None
    match = rng.choice(found)
    value = int(match.group())
    other = rng.choice([value + 1, value * 2 + 1, max(1, value // 2) + (value < 3) * 2, value + 10])
    return text[: match.start()] + str(other) + text[match.end() :] if other != value else None


def negation(text: str, rng: Random) -> str | None:
    if found := re.search(
        r"\b(is|are|do|does|did|can|will|should|has|have|was|were)( not|n't)\b", text
    ):
        return text[: found.start()] + found.group(1) + text[found.end() :]
    if re.search(r"\b(not|never|no|without|n't)\b|n't", text):
        return None
    if found := re.match(
        r"(?i)(?:why |how )?(is|are|do|does|did|can|will|should|was|were) (\w+)", text
    ):
        subject = found.group(2).lower()
        if subject in {"i", "we", "you", "they", "he", "she", "it", "people", "there"}:
            return text[: found.end()] + " not" + text[found.end() :]
    if found := re.search(
        r"\b(should|can|will|could|would|must) (?!i\b|we\b|you\b)(?=[a-z])", text
    ):
        return text[: found.end()] + "not " + text[found.end() :]
    if found := re.search(r"\b(is|are|was|were) (?=(?:\w+ed|\w+ing)\b)", text):
        return text[: found.end()] + "not " + text[found.end() :]
    return None


def order(text: str, rng: Random) -> str | None:
    for pattern in SWAPPED:
        found = re.search(pattern, text, re.IGNORECASE)
        if found is None:
            continue
        (x0, x1), (y0, y1) = found.span("x"), found.span("y")
        x, y = found.group("x"), found.group("y")
        if x.lower() != y.lower() and all(noun_like(word) for word in (x, y)):
            return text[:x0] + y + text[x1:y0] + x + text[y1:]
    return None


def noun_like(word: str) -> bool:
    small = {
        "this",
        "that",
        "them",
        "they",
        "their",
        "what",
        "have",
        "been",
        "will",
        "some",
        "more",
    }
    return (
        word.isalpha() and len(word) > 3 and not word.endswith(("ing", "ly")) and word not in small
    )


def asked(text: str, rng: Random) -> str | None:
    for pair in ASKED:
        old, new = pair.split("/")
        if re.match(
            rf"{old} (?:do|does|did|is|are|was|were|can|should|will)\b", text, re.IGNORECASE
        ):
            return cased(new, text) + text[len(old) :]
    return None


def identifier(text: str, rng: Random) -> str | None:
    """Give a question that speaks of a thing an identifier; two of them make a trap."""
    found = re.search(
        r"\b(order|invoice|account|card|flight|ticket|transaction|model|version|payment|room)\b",
        text,
    )
    if found is None:
        return None
    forms = ("{0}{1}{2}{3}", "{0}-{1}{2}{3}{4}", "#{1}{2}{3}{0}", "v{1}.{2}.{3}", "{0}{5}-{1}{2}")
    form = rng.choice(forms)

    def made() -> str:
        letters, digits = rng.sample("ABCDEFGHKLMNPRSTX", 2), rng.sample("123456789", 4)
        return form.format(letters[0], *digits, letters[1])

    first, second = made(), made()
    place = found.end()
    return f"{text[:place]} {first}{text[place:]}\n{text[:place]} {second}{text[place:]}"


def surface(text: str, rng: Random) -> str | None:
    bare = text.rstrip("?.! ")
    forms = [text.lower(), text.upper(), bare, bare + "??", bare.lower(), f" {text}  "]
    return rng.choice([*forms, text.replace(",", "")])


def contraction(text: str, rng: Random) -> str | None:
    for long, short in CONTRACTED.items():
        if found := re.search(rf"\b{long}\b", text, re.IGNORECASE):
            return text[: found.start()] + cased(short, found.group()) + text[found.end() :]
        if found := re.search(rf"\b{re.escape(short)}\b", text, re.IGNORECASE):
            return text[: found.start()] + cased(long, found.group()) + text[found.end() :]
    return None


def number_word(text: str, rng: Random) -> str | None:
    if found := re.search(r"(?<![\w.,$-])(1[0-2]|[2-9])(?![\w.,%-])", text):
        return text[: found.start()] + WORDS[int(found.group())] + text[found.end() :]
    for value, word in enumerate(WORDS[2:], start=2):
        if found := re.search(rf"\b{word}\b", text, re.IGNORECASE):
            return text[: found.start()] + str(value) + text[found.end() :]
    return None


def polite(text: str, rng: Random) -> str | None:
    form = rng.choice(POLITE)
    start = (
        text
        if form.startswith("{}")
        else text[0].lower() + text[1:]
        if text[1:2].islower()
        else text
    )
    return form.format(start)


def template(text: str, rng: Random) -> str | None:
    for pattern, frames in FRAMES:
        if found := re.match(pattern, text.rstrip("?.! "), re.IGNORECASE):
            new = rng.choice(frames).format(r=found.group("r")) + "?"
            return new if new.lower() != text.lower() else None
    return None


def typo(text: str, rng: Random) -> str | None:
    places = list(re.finditer(r"\b[a-z]{5,}\b", text))
    if not places:
        return None
    match = rng.choice(places)
    word = match.group()
    at = rng.randrange(1, len(word) - 1)
    slips = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    ]
    new = rng.choice(slips)
    return text[: match.start()] + new + text[match.end() :] if new != word else None


def entity_of(pool: list[str]) -> Edit:
    """Exchange a capitalised name inside the sentence for one of another question."""

    def edit(text: str, rng: Random) -> str | None:
        found = [m for m in NAME.finditer(text) if usable(text, m)]
        if not found:
            return None
        match = rng.choice(found)
        new = rng.choice(pool)
        return (
            text[: match.start()] + new + text[match.end() :]
            if new.lower() not in text.lower()
            else None
        )

    return edit


NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")


def usable(text: str, match: re.Match[str]) -> bool:
    """Whether a capitalised word is a name by itself, not part of a longer one or of a title."""
    words = re.findall(r"[A-Za-z]+", text)
    alone = not re.match(r" [A-Z]", text[match.end() :])
    return alone and sum(word[0].isupper() for word in words) < 0.5 * len(words)


def questions(files: Iterable[Path]) -> Iterator[str]:
    """The texts of pair files (JSON lines), streams (CSV with a column `text`) or lists (JSON)."""
    for file in files:
        with opened(file) as lines:
            if ".csv" in file.name:
                yield from (row["text"] for row in csv.DictReader(lines))
            else:
                for line in lines:
                    row = json.loads(line)
                    yield row.get("a") or row["cached"]
                    yield row.get("b") or row["query"]


def opened(file: Path) -> IO[str]:
    """A text file, gzipped or not."""
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file, "rb"), encoding="utf-8")
    return file.open(encoding="utf-8")


def make(texts: Iterable[str], *, per_kind: int, seed: int) -> list[dict[str, str | int]]:
    """Up to `per_kind` pairs of every kind, from questions of 4 to 30 words."""
    rng = Random(seed)
    pool = sorted({text.strip() for text in texts if 4 <= len(text.split()) <= 30})
    rng.shuffle(pool)
    names = sorted({m.group() for text in pool for m in NAME.finditer(text) if usable(text, m)})
    traps: dict[str, Edit] = {
        "number": number, "negation": negation, "antonym": among(ANTONYMS), "order": order,
        "prefix": among(PREFIXED), "time": among(TIMES), "unit": among(UNITS), "slot": among(SLOTS),
        "entity": entity_of(names), "identifier": identifier, "asked": asked,
    }  # fmt: skip
    safe: dict[str, Edit] = {
        "surface": surface, "contraction": contraction, "number_word": number_word,
        "polite": polite, "template": template, "typo": typo,
    }  # fmt: skip
    pairs: list[dict[str, str | int]] = []
    for label, edits in ((0, traps), (1, safe)):
        for kind, edit in edits.items():
            made = 0
            for text in pool:
                b = edit(text, rng)
                if b is None or b == text:
                    continue
                a, _, b = (text, "", b) if kind != "identifier" else b.partition("\n")
                pairs.append({"a": a, "b": b, "label": label, "kind": kind})
                made += 1
                if made == per_kind:
                    break
            rng.shuffle(pool)
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--per-kind", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    pairs = make(questions(args.data), per_kind=args.per_kind, seed=args.seed)
    text = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
    data = text.encode()
    args.out.write_bytes(gzip.compress(data, mtime=0) if args.out.suffix == ".gz" else data)
    print(f"{len(pairs)} pairs in {args.out}")


if __name__ == "__main__":
    main()
