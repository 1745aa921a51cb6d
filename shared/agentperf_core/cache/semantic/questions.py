"""Which questions say all they mean, and which lean on the turn before.

A follow-up ("and for Berlin?", "can you explain that?") means something only after its parent; the
semantic tier compares the parents of two such questions too. Rules and word lists are for English;
in a script they cannot read, a question counts as self-contained only by its length, so a short one
gets a parent, which is the careful side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from agentperf_core.cache.semantic.words import listed

__all__ = ["parent_of", "self_contained"]

MAX_PARENTS = 3
ENOUGH_WORDS = 4  # content words; a shorter question may still be a clear "what is X"
MAX_READ = 2000  # characters; a longer turn speaks for itself
MAX_KEPT = 500  # characters; of longer turns the outcome is not remembered

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?", re.UNICODE)
# Scripts written without spaces: every character counts as half a word.
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")

_FUNCTION = listed(
    """a an the of to in on at for from by with and or but nor so yet if then than as is are was
    were be been being am do does did done has have had having will would shall should may
    might must can could i me my mine myself we us our ours you your yours he him his she her
    hers they them their theirs it its this that these those there here what which who whom
    whose when where why how not no yes ok okay please thanks thank hi hello hey just also too
    very really about into over out up down off any some all both each more most other another
    such same own again once now let lets get got give go tell show say know want need like
    make see im ive id dont doesnt didnt cant wont isnt arent wasnt thats whats well actually
    maybe kindly s t re ve ll d m""",
)
# Words that point back. "it" and the like are harmless when their antecedent is in the question.
_POINTERS = listed(
    """it its itself he him his she her hers they them their theirs this that these those there one
    ones former latter former's above previous earlier same such else instead""",
)
_OPENERS = re.compile(
    r"^\W*(?:and|but|so|or|also|then|ok(?:ay)?|yes|no|yeah|sure|well|same|what about|how about"
    r"|what if|why not|how so|how come|why|and what|what else|anything else|more|another|again"
    r"|continue|go on|elaborate|in that case|otherwise|the (?:first|second|third|last|other|next"
    r"|previous|former|latter)|thanks?|thank you)\b",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"\b(?:the (?:other|former|latter|above|previous|same|first|second|third|last|next) "
    r"(?:one|ones|two|answer|question|option|point|part|step|example|paragraph|item|way|topic)"
    r"|(?:this|that|the|your|last|previous) (?:topic|answer|reply|response|explanation|example"
    r"|code|list|above|idea|approach|summary|conversation|context)"
    r"|you (?:said|mentioned|told|gave|listed|suggested|wrote|just)|as (?:above|before|mentioned)"
    r"|mentioned|more (?:details?|examples?|info(?:rmation)?|on that|about that)"
    r"|(?:rewrite|rephrase|shorten|translate|summari[sz]e|repeat|explain|fix|try) (?:it|that|this"
    r"|again|them)|what else|which one|the rest)\b",
    re.IGNORECASE,
)
# "it" that points at nothing: "is it possible to ...", "how long does it take to ...".
_EMPTY_IT = re.compile(
    r"\b(?:(?:is|was|will|would|can|could|should) it (?:be |ever |not |really |still )*"
    r"(?:possible|true|ok|okay|safe|legal|illegal|normal|worth|better|bad|good|hard|easy|difficult"
    r"|necessary|common|rude|wrong|right|rain|snow) (?:to|for|that|if|in)"
    r"|does it (?:take|cost|mean|feel|matter) (?:to|for|when|if|like)|it is possible to"
    r"|so that|the fact that|such as|that (?:i|you|we|they|he|she|it|is|are|was|were|has|have|had"
    r"|can|could|will|would|do|does|did|should|may|might|must)|there (?:is|are|was|were|any|a|an"
    r"|no)|(?:is|are|was|were) there|the same|each other|one (?:day|of|can|should|could|person"
    r"|another|hour|week|month|year|time)|no one|any one|every one|at once|which one is)\b",
    re.IGNORECASE,
)
_COMPARES = re.compile(r"\b(?:better|worse|best|worst|cheaper|faster|bigger)\W*$", re.IGNORECASE)
_DEFINITION = re.compile(
    r"^\W*(?:who|what(?:'s|\u2019s| is| are| was| were| does| do)|define|"
    r"where(?:'s|\u2019s| is| are| was)|when(?:'s|\u2019s| is| was| did| does| will)"
    r"|how (?:do|does|did|to|can|old|tall|big|far|many|much|long|deep|high|hot|cold|heavy|large"
    r"|is|are|was|were|should)"
    r"|why (?:do|does|did|is|are|was|were|can|should|would|has|have)|can|could|is|are|does|do"
    r"|should|which)\b",
    re.IGNORECASE,
)


def self_contained(text: str) -> bool:
    """Whether a question can be understood without the turns before it.

    Not self-contained: a question with a pronoun that points out of it, an opener such as "and" or
    "what about", a reference to an earlier answer, or too few words to stand alone.

    Example:
        >>> self_contained("How do I reset the password of my account?")
        True
        >>> [self_contained(t) for t in ("and for Berlin?", "Why is it so slow?", "Which one?")]
        [False, False, False]
    """
    if len(text) > MAX_READ:
        return True
    return _remembered(text) if len(text) <= MAX_KEPT else _speaks(text)


def _speaks(text: str) -> bool:
    dense = len(_DENSE.findall(text)) / 2
    words = [w.lower().replace("\u2019", "'") for w in _WORD.findall(text)]
    content = [w for w in words if w not in _FUNCTION and w.replace("'", "") not in _FUNCTION]
    count = len(content) + dense
    if _REFERS.search(text) or (_OPENERS.match(text) and not _stands(text, count)):
        return False
    if _points_out(text):
        return False
    if count >= ENOUGH_WORDS:
        return True
    return (
        count >= 1
        and len(words) + dense >= min(ENOUGH_WORDS - 1, count + 2)
        and bool(_DEFINITION.match(text))
        and not _COMPARES.search(text)
    )


@lru_cache(maxsize=4096)
def _remembered(text: str) -> bool:
    return _speaks(text)


def parent_of(user_turns: Sequence[str]) -> str | None:
    r"""What the last user turn leans on: the user turns before it, back to a self-contained one.

    Args:
        user_turns: all user turns of the conversation, oldest first; the last is the question.

    Returns:
        At most three turns joined by newlines, oldest first; None if nothing comes before. A
        question that is self-contained has a parent too when there are earlier turns: whether it
        is used is the tier's choice.

    Example:
        >>> parent_of(["Where is the Louvre?", "and when does it open?", "and on Mondays?"])
        'Where is the Louvre?\nand when does it open?'
        >>> parent_of(["Where is the Louvre?"]) is None
        True
    """
    found: list[str] = []
    for turn in reversed(user_turns[:-1]):
        if not turn.strip():
            continue
        found.append(turn)
        if len(found) == MAX_PARENTS or self_contained(turn):
            break
    return "\n".join(reversed(found)) or None


def _stands(text: str, count: float) -> bool:
    """Whether a question with a conversational opener is a full question all the same."""
    opener = _OPENERS.match(text)
    if opener is None:
        return True
    word = opener.group().strip().lower()
    if word in {"why", "how come", "no", "yes", "same", "what if", "more", "another", "again"}:
        return count >= ENOUGH_WORDS - 2 if word in {"why", "how come"} else count >= ENOUGH_WORDS
    return word.startswith(("ok", "thank", "well", "the ")) and count > ENOUGH_WORDS


def _points_out(text: str) -> bool:
    """Whether a pronoun comes before anything in the question that it could stand for."""
    rest = _EMPTY_IT.sub(" ", text)
    seen = 0
    for match in _WORD.finditer(rest):
        word = match.group().lower()
        if word.split("'")[0] in _POINTERS:
            # Two content words before it: the pronoun most likely means one of those.
            if seen < 2 and not _determines(word, rest[match.end() :]):
                return True
        elif word not in _FUNCTION:
            seen += 1
    return False


def _determines(word: str, after: str) -> bool:
    """Whether "this"/"these"/... names its own noun and time: "this year", "these days"."""
    following = _WORD.search(after)
    if word not in {"this", "that", "these", "those"} or following is None:
        return False
    return following.group().lower() in {
        "year", "week", "month", "morning", "evening", "afternoon", "day", "days", "weekend",
        "summer", "winter", "spring", "autumn", "fall", "quarter", "season", "time", "country",
    }  # fmt: skip
