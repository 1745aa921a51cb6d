"""Word lists of general English: what carries no content, what negates, what means the same.

The lists are written from general knowledge of English, not from a test set. A word that is missing
costs a hit or leaves the decision to the score; it never breaks anything.
"""

from __future__ import annotations

__all__ = [
    "FAILURES",
    "FILLERS",
    "FRESH",
    "NEGATIONS",
    "PHRASES",
    "STOP",
    "SYNONYMS",
    "TASKS",
    "groups",
    "in_order",
    "listed",
]


def listed(text: str) -> frozenset[str]:
    """The words of a text as a set: a readable way to write a long list.

    Example:
        >>> sorted(listed("red green"))
        ['green', 'red']
    """
    return frozenset(text.split())


def in_order(text: str) -> tuple[str, ...]:
    """The words of a text in their order."""
    return tuple(text.split())


def groups(text: str) -> dict[str, str]:
    """Each word of a line to the line's first word."""
    return {word: line.split()[0] for line in text.strip().splitlines() for word in line.split()}


# Articles, pronouns, auxiliaries, politeness and the frames of questions ("what is the best way
# to"): two questions that differ in nothing else ask the same.
STOP = listed(
    """a an the of to in on at for from by with and or but is are was were be been being am do does
    did done has have had having will would shall should may might must can could need i me my
    mine we us our ours you your yours he him his she her hers they them their theirs it its
    this that these those there here as so if then than too very just also about into some any
    such own please kindly tell explain describe give get got getting know let say show want
    like wish help hi hello hey thanks thank thx pls plz ok okay sir madam dear sorry excuse
    guys what which how why when where who whom whose im ive really actually basically simply
    exactly best good way ways thing things someone somebody anyone anybody one ones people
    person guy go going make making take taking possible able manage steps step proper properly
    ever wondering curious question questions wonder could's what's else still yet only quick
    quickly advance advice guide idea understand mind information info details detail regarding
    concerning myself yourself happen happens doing while through during because since now
    shortly bit tried trying try seem seems says said saying exist exists ought would've needed
    needing wanted wants come per via up out off over under again both each every other another
    between""",
)

NEGATIONS = listed(
    """not no never none nothing nobody nowhere without neither nor hardly barely scarcely rarely
    seldom unable cannot except excluding exclude minus non lacks lack lacking""",
)

# What a negated success and a plain failure have in common: "did not arrive" is "is missing".
FAILURES = listed(
    """declin fail reject deni deny refus broken wrong miss lost block stuck error problem issu
    trouble unsuccessful pend delai delay invalid stop unrecogn unknown strang unexpect disappear
    cancel revert return bad missing lose unavail unfamili fraud stole stolen forgot forget""",
)

# Whole phrases that say nothing about what is asked; removed before words are counted.
FILLERS = (
    r"i (?:do not|am not) (?:know|understand|sure|certain|see)(?: (?:how|what|why|if|whether))?",
    r"(?:whether|if) or not",
    r"or not\b",
    r"if not\b",
    r"why not\b",
    r"not only",
    r"no idea",
    r"no problem",
    r"if you (?:do not|would not) mind",
    r"(?:do|would|could) you mind",
    r"as soon as possible",
    r"in order to",
)

# Phrasal verbs and compounds as one word, so that their opposites can be listed.
PHRASES = groups(
    """login log_in sign_in signin logon log_on sign_on
    logout log_out sign_out signout log_off sign_off logoff
    signup sign_up register
    enable turn_on switch_on
    disable turn_off switch_off
    setup set_up
    topup top_up topped_up topping_up top-up
    shutdown shut_down
    unitedstates united_states
    unitedkingdom united_kingdom
    southafrica south_africa
    southkorea south_korea
    northkorea north_korea
    newzealand new_zealand
    saudiarabia saudi_arabia
    rightnow right_now
    ecommerce e-commerce
    email e-mail
    wifi wi-fi
    realtime real_time real-time
    uptodate up_to_date up-to-date""",
)

# Read in the normal form of `stem()`: one word of a line may stand for another.
SYNONYMS = groups(
    """buy purchase
    fix repair
    start begin commence
    finish complete
    delete erase
    large big huge
    small tiny little
    movie film
    photo picture image pic
    phone cellphone smartphone telephone
    car automobile
    kid child children kids
    doctor physician
    choose select pick
    use utilize utilise
    cost price
    fee charge
    fast quick rapid
    difficult hard tough
    learn study
    increase raise grow boost
    decrease reduce lower
    obtain acquire
    change modify alter
    verify confirm
    email mail
    couch sofa
    trip journey
    allow permit
    forbid prohibit ban
    smart intelligent clever
    ill sick
    attempt try
    reply respond answer
    speak talk
    error mistake
    salary wage
    teach instruct
    rich wealthy
    disease illness
    colour color
    centre center
    favourite favorite
    cheque check
    organise organize
    apologise apologize
    licence license
    programme program
    grey gray
    theatre theater
    metre meter
    litre liter
    advisable recommended
    broken damaged
    quit resign
    reset restore
    transfer transferring
    vacation holiday
    apartment flat
    usa us america unitedstates american
    uk britain unitedkingdom british england english""",
)

# Words that make an answer go stale.
FRESH = listed(
    """currently current latest realtime uptodate rightnow nowadays tonight today todays
    ongoing""",
)

# A request that starts with one of these asks for a deed, not for an answer.
TASKS = listed(
    """transfer send pay buy sell book order reserve schedule cancel delete remove close block
    freeze unfreeze submit email text post wire deposit withdraw refund activate deactivate
    disable enable create add update rename publish deploy restart reboot purchase subscribe
    unsubscribe invite approve reject terminate execute""",
)
