"""Safe clean-up: white space, repeated boilerplate, polite phrases, and nothing that says a thing.

Code (fenced, indented, inline), tables and quoted text stay as they are, letter for letter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from agentperf_core.context.compress._checks import checked_list
from agentperf_core.context.compress._json import parsed
from agentperf_core.context.compress._long import LONGEST
from agentperf_core.context.compress.phrases import PHRASES, Phrases, checked_phrases
from agentperf_core.context.compress.records import Reduced, Removed, Task
from agentperf_core.context.compress.sentences import blocks_of
from agentperf_core.context.compress.strategy import computed
from agentperf_core.errors import ConfigError
from agentperf_core.flow import Flow

__all__ = ["CleanUp"]

# Inline code and what stands in quotation marks; an apostrophe is none.
_QUOTED = re.compile(
    r"`[^`\n]+`|\"[^\"\n]{1,500}\"|\u201c[^\u201d\n]{1,500}\u201d|\u00ab[^\u00bb\n]{1,500}\u00bb"
    r"|\u300c[^\u300d\n]{1,500}\u300d|\u201e[^\u201c\n]{1,500}\u201c"
)
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")
_BLANKS = re.compile(
    "(?<=\\S)[ \t\u00a0\u2000-\u200a\u202f\u3000]{2,}(?=\\S)|[\u00a0\u2000-\u200a\u202f]"
)
_TRAILING = re.compile("(?<![ \t\u00a0\u3000\r])[ \t\u00a0\u3000\r]+(?=\n|\\Z)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_STOP = "[.!?\u3002\uff01\uff1f]"
_COMMA = "[,;:\uff0c\u3001]"
_ROUNDS = 8
_IN_A_ROW = 4  # phrases with commas between: of a million, each would look for the end of all
_LONG_LINE = 40  # characters of a line that may be boilerplate
_TIMES = 3  # how often it has to stand there


class CleanUp:
    r"""Takes out what no reader misses.

    Args:
        phrases: polite phrases per language, see `agentperf_core.context.compress.phrases`; an
            empty mapping leaves politeness alone.
        languages: whose phrases; default all that `phrases` has.
        boilerplate: whether a line of 40 characters or more that stands there three times or more,
            as headers and footers of pages do, stands there once afterwards.

    Raises:
        ConfigError: if `phrases` is something else, or has none of a language.

    Example:
        >>> from agentperf_core.accounting.tokens import TokenCounter
        >>> from agentperf_core.flow import run
        >>> text = "Could you please  list the   files?\n\n\n\nThank you!"
        >>> run(CleanUp().compress(Task(text=text, tokens=9, counter=TokenCounter()))).text
        'List the files?'
    """

    name = "clean-up"

    def __init__(
        self,
        *,
        phrases: Phrases = PHRASES,
        languages: Collection[str] | None = None,
        boilerplate: bool = True,
    ) -> None:
        phrases = checked_phrases(phrases)
        spoken = _spoken(languages, phrases)
        chosen = [phrase for language in spoken for phrase in phrases[language]]
        self._polite = _polite(chosen) if chosen else None
        self._boilerplate = boilerplate

    def compress(self, task: Task) -> Flow[Reduced]:
        """The text without them, whatever the target is; one that is too long stays as it is."""
        return (yield from self.compress_all([task], task.tokens))[0]

    def compress_all(self, tasks: Sequence[Task], tokens: int) -> Flow[list[Reduced]]:
        """The texts without them; texts that are too long together stay as they are."""
        size = sum(len(task.text) for task in tasks)
        if size > LONGEST:  # whoever reads their passages leaves most of them out anyway
            reason = f"{size:,} characters are too many to clean up, {LONGEST:,} is the most"
            return [Reduced(task.text, degraded=reason) for task in tasks]
        return (yield from computed(self._all_cleaned, size, [task.text for task in tasks]))

    def _all_cleaned(self, texts: Sequence[str]) -> list[Reduced]:
        return [self._cleaned(text) for text in texts]

    def _cleaned(self, text: str) -> Reduced:
        if parsed(text) is not None:
            return Reduced(text)  # every blank of a JSON string may count
        taken: dict[str, list[str]] = {}
        found = text
        for _ in range(_ROUNDS):  # what is taken out may bring the next to a sentence's beginning
            before = found
            found = self._once(before, taken)
            if found == before:
                break
        if len(found) < len(text) and not taken:
            taken["white space"] = []
        return Reduced(found, tuple(Removed(kind, tuple(some)) for kind, some in taken.items()))

    def _once(self, text: str, taken: dict[str, list[str]]) -> str:
        given = text.replace("\r\n", "\n").rstrip()
        repeated = _repeated(given) if self._boilerplate else set[str]()
        seen: set[str] = set()
        parts: list[str] = []
        at = 0
        gap = ""
        for block in blocks_of(given):
            between = _EMPTY_LINES.sub("\n\n", _TRAILING.sub("", given[at : block.start]))
            gap = max(gap, between, key=len)  # a block that becomes empty leaves one gap, not two
            at = block.end
            body = given[block.start : block.end]
            if block.kind == "prose":
                said: dict[str, list[str]] = {}
                shorter = self._prose(body, repeated, seen, said)
                # Where a phrase before it is gone, what stood in a line may begin one: a fence,
                # which would make prose of the code behind it.
                if all(one.kind == "prose" for one in blocks_of(shorter)):
                    body = shorter
                    for kind, pieces in said.items():
                        taken.setdefault(kind, []).extend(pieces)
            if body:
                parts += [gap if parts else "", body]
                gap = ""
        return "".join(parts)

    def _prose(
        self, body: str, repeated: set[str], seen: set[str], taken: dict[str, list[str]]
    ) -> str:
        if repeated:
            lines: list[str] = []
            for line in body.split("\n"):
                said = line.strip()
                if said in repeated and said in seen:
                    taken.setdefault("boilerplate", []).append(said)
                    continue
                seen.add(said)
                lines.append(line)
            body = "\n".join(lines)
        body = _outside_quotes(body, _squeezed)
        polite = self._polite
        if polite is not None:
            body = _without_politeness(body, polite, taken)
        return _TRAILING.sub("", body).strip("\n")


def _spoken(languages: Collection[str] | None, phrases: Phrases) -> list[str]:
    if languages is None:
        return [*phrases]
    known = sorted(phrases)
    found = checked_list(languages, f"languages are a list, of {known!r}")
    unknown = [one for one in found if one not in known]
    if unknown:
        msg = (
            f"languages are among {known!r}, got {unknown!r}; give phrases= of your own for others"
        )
        raise ConfigError(msg)
    return found


def _repeated(text: str) -> set[str]:
    lines = (line.strip() for line in text.split("\n"))
    counts = Counter(line for line in lines if len(line) >= _LONG_LINE)
    return {line for line, times in counts.items() if times >= _TIMES}


def _squeezed(text: str) -> str:
    return _BLANKS.sub(" ", _INVISIBLE.sub("", text))


def _outside_quotes(text: str, change: Callable[[str], str]) -> str:
    parts: list[str] = []
    at = 0
    for match in _QUOTED.finditer(text):
        parts += [change(text[at : match.start()]), match.group()]
        at = match.end()
    return "".join([*parts, change(text[at:])])


def _polite(phrases: list[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns of phrases that open a sentence or are one, and of those that end one."""
    ordered = sorted({one.strip() for one in phrases}, key=len, reverse=True)
    closed = "|".join(map(_pattern, ordered))
    lead_in = "|".join(_pattern(one) for one in ordered if one.endswith("...")) or r"(?!)"
    ended = rf"(?=[ \t]*(?:{_STOP}|{_COMMA}|\n|\Z))"
    opens = re.compile(
        rf"(?P<before>(?:(?<={_STOP})|(?<=\n)|\A)[ \t]*(?:[-*][ \t]+)?)"
        rf"(?P<said>(?:(?:{lead_in})[ \t]*(?:{_COMMA}[ \t]*)?){{0,{_IN_A_ROW}}}"
        rf"(?:(?:{closed}){ended}|(?:{lead_in})))"
        rf"(?:[ \t]*{_COMMA})?(?:[ \t]*(?P<end>{_STOP}+|)|[ \t]*)",
        re.IGNORECASE,
    )
    ends = re.compile(
        rf"(?:{_COMMA}[ \t]*(?P<said>{closed})[ \t]*){{1,{_IN_A_ROW}}}(?={_STOP}|\n|\Z)",
        re.IGNORECASE,
    )
    return opens, ends


def _pattern(phrase: str) -> str:
    words = phrase.removesuffix("...").strip()
    found = re.escape(words).replace("'", "['\u2019]")
    # Scripts without blanks have no end of a word to ask for.
    return found if ord(words[-1]) >= 0x3000 else rf"{found}(?!\w)"


def _without_politeness(
    text: str, polite: tuple[re.Pattern[str], re.Pattern[str]], taken: dict[str, list[str]]
) -> str:
    opens, ends = polite
    return _without(opens, _without(ends, text, taken), taken)


def _without(pattern: re.Pattern[str], text: str, taken: dict[str, list[str]]) -> str:
    quoted = [match.span() for match in _QUOTED.finditer(text)]
    parts: list[str] = []
    at = 0
    begins = False  # whether what comes next begins a sentence that a phrase had begun

    def add(upto: int) -> None:
        nonlocal begins
        if upto > at:
            first = text[at].upper() if begins else text[at]
            parts.append(first + text[at + 1 : upto])
            begins = False

    for match in pattern.finditer(text):
        if any(start <= match.start("said") < end for start, end in quoted):
            continue
        taken.setdefault("politeness", []).append(match.group("said"))
        add(match.start())
        at = match.end()
        found = match.groupdict()
        # Of a sentence that was nothing else, nothing stays.
        if found.get("end") == "" and text[at : at + 1] not in {"", "\n"}:
            parts.append(found["before"])
            begins = True
    add(len(text))
    return "".join(parts)
