"""Word lists of `normal`: English, and only what has one meaning."""

from __future__ import annotations

__all__ = [
    "ABOUT_WORDS",
    "ASKING",
    "COMPARISON",
    "CONTRACTIONS",
    "ENGLISH",
    "NUMBERS",
    "OPENERS",
    "PLAIN_NAMES",
    "UNITS",
]


def _words(text: str) -> list[str]:
    return text.split()


ENGLISH = frozenset(
    _words(
        """are can could did do does explain have how is my please should tell that the there
        this what what's whats when where which who whose why with would you your"""
    )
)

# Talk about words: there, the wording is the matter.
ABOUT_WORDS = frozenset(
    _words(
        """abbreviation acronym adjective adverb apostrophe article capitalise capitalised
        capitalize capitalized character characters comma contraction contractions
        correct corrected echo edit exact exactly fix grammar grammatical
        grammatically letter letters lowercase noun paraphrase phrase proofread
        punctuate punctuation quote repeat rephrase rewrite say saying says sentence
        sentences spell spelled spelling spelt string syllable syllables synonym
        synonyms text translate translated translation typo uppercase verb verbatim
        word wording words write written"""
    )
)

# "its and it's", "one and 1": in a comparison both sides stay as they are.
COMPARISON = frozenset({"between", "difference", "differences", "versus", "vs", "vs."})

# First words of questions and orders.
ASKING = frozenset(
    _words(
        """am are calculate can cannot compare compute convert could define describe did do
        does explain find for from give had has have help how in is kindly list
        please provide recommend shall should show suggest summarize tell to was
        were what when where which who whom whose why will with would"""
    )
)

# First words of statements: with these in front, only the mark says that something is asked.
STATING = frozenset(
    _words(
        """a after all an and any as at before he i if it let my no one or our she since so
        some thank thanks that the their there these they this those until we while
        yes you your"""
    )
)

# Where a sentence starts with one of these, its capital says nothing. "May" and "Mark" are names.
OPENERS = ASKING | STATING

_NOT = _words("""are could did do does had has have is must need should was were would""")

# "it's been" becomes "it is been": wrong English, but the same for everybody who writes it. Not
# here: 'd (had, would), possessives, "let's" (not "let us"), and words of their own such as "its".
CONTRACTIONS = (
    {f"{word}n't": f"{word} not" for word in _NOT}
    | {f"{word}nt": f"{word} not" for word in _NOT if word not in {"must", "need"}}
    | {"can't": "cannot", "won't": "will not", "whats": "what is"}
    | {
        f"{word}'s": f"{word} is"
        for word in _words("he here how it she that there what when where who why")
    }
    | {"i'm": "i am"}
    | {f"{word}'re": f"{word} are" for word in _words("they we what who you")}
    | {f"{word}'ve": f"{word} have" for word in _words("could i might should they we would you")}
    | {f"{word}'ll": f"{word} will" for word in _words("he i it she that they we what who you")}
)

_ONES = _words("zero one two three four five six seven eight nine")
_TEENS = _words(
    """ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"""
)
_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")

# "one" has too many meanings ("no one", "how does one learn"): it counts before a unit only.
NUMBERS = (
    {word: str(n) for n, word in enumerate((*_ONES, *_TEENS)) if word != "one"}
    | {word: str(10 * n) for n, word in enumerate(_TENS, start=2)}
    | {
        f"{tens}-{ones}": str(10 * n + m)
        for n, tens in enumerate(_TENS, start=2)
        for m, ones in enumerate(_ONES)
        if m
    }
)
UNITS = frozenset(
    _words(
        """cent cup day dollar euro foot gallon gram hour inch kg kilo kilogram kilometer
        kilometre km liter litre meter metre mile million billion thousand hundred
        minute month ounce percent pound second ton week yard year"""
    )
)

# Names that are no other word in small letters. Not here: China, Chad, Georgia's neighbour Turkey,
# Jordan, Polish, March, May, August, and every brand.
PLAIN_NAMES = {
    name.capitalize(): name
    for name in _words(
        """monday tuesday wednesday thursday friday saturday sunday january february april june
        july september october november december africa asia europe america
        australia argentina austria belgium brazil bulgaria canada chile colombia
        croatia cuba denmark egypt england estonia ethiopia finland france germany
        ghana greece hungary iceland india indonesia iran iraq ireland israel italy
        japan kenya latvia lithuania luxembourg malaysia mexico morocco nepal
        netherlands nigeria norway pakistan peru philippines poland portugal romania
        russia scotland serbia singapore slovakia slovenia spain sweden switzerland
        taiwan thailand tunisia ukraine uruguay venezuela vietnam amsterdam athens
        barcelona beijing berlin boston brussels budapest cairo chicago copenhagen
        delhi dublin istanbul london madrid melbourne milan moscow mumbai munich
        oslo paris prague rome seattle seoul shanghai stockholm sydney tokyo toronto
        vienna warsaw zurich english french german spanish italian portuguese dutch
        russian chinese japanese korean arabic hindi swedish norwegian danish
        finnish greek american european african asian christmas"""
    )
}
