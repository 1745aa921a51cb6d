"""Axes of meaning: words that exclude each other when one stands where the other stood.

Each line is an axis and each of its poles a group of words that count as one. "Monday" for
"Tuesday", "deposit" for "withdraw", "basic" for "premium": cosine hardly moves (antonyms keep .93
on average with MiniLM, measured on edited questions), the answer does. Written from general
English, not from a test.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentperf_core.cache.semantic.kinds import KINDS

__all__ = ["OPPOSED_PREFIXES", "axes"]

_OPPOSITES = """
buy purchase | sell
increase raise grow rise gain boost | decrease reduce lower drop fall decline shrink lose
gain win | lose
win victory | lose loss defeat
profit gain | loss
open | close shut
start begin launch commence | stop end finish quit terminate halt
enable activate | disable deactivate
install | uninstall
add include insert | remove delete exclude subtract drop
create build make | delete destroy remove
accept approve allow permit grant | reject decline deny refuse forbid prohibit ban
allow permit | prevent block forbid ban
deposit | withdraw withdrawal
debit | credit | prepaid
send | receive
give | take receive
lend | borrow
import | export
upload | download
login | logout
follow | unfollow
block | unblock
lock freeze | unlock unfreeze
subscribe | unsubscribe
connect attach join | disconnect detach leave
pass succeed success | fail failure
remember | forget
love like | hate dislike
save | spend
save keep | delete discard
push | pull
ask question | answer
teach | learn
arrive arrival | depart departure leave
enter entry | exit
appear | disappear
agree | disagree
attack | defend
encrypt | decrypt
encode | decode
compress | decompress extract
read | write
lead | follow
hire employ | fire dismiss
rent | own buy
owe | refund
employer | employee
landlord | tenant
buyer customer | seller vendor
borrower | lender
sender | recipient receiver
teacher | student
doctor | patient | nurse
parent | child
advantage pro benefit pros | disadvantage con drawback cons
strength | weakness
maximum max most | minimum min least
more | less fewer
high higher highest | low lower lowest
big large bigger biggest larger largest | small little smaller smallest
long longer longest | short shorter shortest
tall taller tallest | short shorter shortest
deep | shallow
wide | narrow
thick | thin
heavy heavier | light lighter
strong | weak
hard difficult | easy simple
hard | soft
hot hotter warm | cold cooler cool
wet | dry
fast faster fastest quick | slow slower slowest
cheap cheaper cheapest inexpensive | expensive costly
rich wealthy | poor
young younger youngest | old older oldest
new newer newest | old older used
early earlier earliest | late later latest
good | bad
right correct proper | wrong incorrect improper
able | unable
possible | impossible
better | worse
best | worst
happy | sad unhappy
clean | dirty
safe | dangerous unsafe risky
healthy | sick ill unhealthy
alive | dead
awake | asleep
full | empty
true real genuine | false fake counterfeit
positive | negative
legal | illegal
public | private
personal individual | business corporate commercial
internal | external
domestic national local | international foreign overseas abroad
inbound incoming | outbound outgoing
single unmarried | married | divorced | widowed
single | double | joint | triple | multiple
male man men boy boys gentleman | female woman women girl girls lady
husband | wife
father dad | mother mom mum
son | daughter
brother | sister
uncle | aunt
king | queen
prince | princess
child kid children minor | adult | teenager teen | infant baby newborn toddler | senior elderly
human people | dog | cat | horse | bird
beginner novice | expert advanced | intermediate
fixed | variable adjustable floating
gross | net
active | passive
active | inactive
temporary | permanent
optional | mandatory required compulsory
manual | automatic
physical | virtual digital
virtual | physical | disposable
online | offline
front | back rear
top | bottom
inner | outer
upper | lower
vertical | horizontal
odd | even
first | second | third | fourth | fifth | last final
primary | secondary
previous prior | next following upcoming
always | never | sometimes
before | after
past | present | future
heaven | hell
war | peace
day daytime | night nighttime
morning | afternoon | evening | night | noon | midnight
bull bullish | bear bearish
call | put
market | limit
long | short
stock share | bond | crypto cryptocurrency | fund etf
acute | chronic
benign | malignant
symptom | treatment | cause
cause reason | effect consequence result
allergic | immune
bacterial | viral | fungal
raw | cooked
vegan | vegetarian
input | output
client | server
frontend | backend
hardware | software
ascending | descending
synchronous sync | asynchronous async
wired | wireless
solid | liquid | gas
singular | plural
noun | verb | adjective
fiction | nonfiction
theory | practice
"""

# Small words: opposites only where the questions hardly differ otherwise.
_SMALL = """
on | off
in into inside | out outside
up | down
over above | under below beneath
with | without
to | from
before | after | during
until | since
more | less
all every | none no
any all | some
and | or
can | should | must
will | did
is are | was were
me my i | you your
"""

# Prefixes that turn what follows into its opposite, as pairs: hyper-/hypo-, in-/ex-, ...
OPPOSED_PREFIXES = (
    ("hyper", "hypo"), ("pre", "post"), ("over", "under"), ("up", "down"), ("in", "out"),
    ("inter", "intra"), ("macro", "micro"), ("mono", "poly"), ("in", "ex"), ("im", "ex"),
    ("in", "de"), ("as", "de"), ("en", "de"), ("pro", "anti"), ("maxi", "mini"), ("for", "back"),
    ("ante", "post"), ("endo", "exo"), ("homo", "hetero"), ("uni", "bi"), ("sub", "super"),
    ("brady", "tachy"), ("out", "in"), ("fore", "hind"), ("con", "dis"), ("pro", "re"),
)  # fmt: skip


def axes() -> Iterator[tuple[int, bool, list[list[str]]]]:
    """Every axis: its number, whether it is weak (small words), and its poles."""
    number = 0
    for weak, block in ((False, _OPPOSITES), (False, KINDS), (True, _SMALL)):
        for line in block.strip().replace("|\n", "| ").splitlines():
            yield number, weak, [pole.split() for pole in line.split("|")]
            number += 1
