r"""Claim: what the caches that users have today get wrong, ours get right, in the same run.

One row per defect: the same scenario with the peer's class and with ours in its place, on servers
that this script starts. What is not right is bold. Counted, not timed. Peers are run where they are
installed; to see them all:

    pip install langchain-redis langchain-community langgraph-checkpoint-redis redisvl gptcache \
        faiss-cpu sulci
"""

from __future__ import annotations

import logging
import sys
import warnings
from contextlib import ExitStack
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import _defects_agents
import _defects_langchain
import _defects_llamaindex
import _defects_meaning
import _defects_nodes
import _defects_redis
from _common import table
from _defects import ABSENT, Row

from agentperf_core.bench.servers import RedisServer, redis_stack

HEADERS = ["scenario", "right", "peer", "peer's outcome", "ours", "our outcome"]


def main() -> int:
    warnings.simplefilter("ignore")  # the peers' own, about what they will drop
    logging.disable(logging.CRITICAL)  # failures are part of the scenarios
    with ExitStack() as servers:

        @cache
        def server() -> RedisServer:
            return servers.enter_context(redis_stack())

        rows = [
            *_defects_langchain.rows(),
            *_defects_nodes.rows(),
            *_defects_redis.rows(server),
            *_defects_meaning.rows(server),
            *_defects_agents.rows(server),
            *_defects_llamaindex.rows(),
        ]
        cells = [row.cells() for row in rows]
    print(table(HEADERS, cells))
    ran = [line for line in cells if line[3] != ABSENT]
    theirs, ours = (sum(line[place].startswith("**") for line in ran) for place in (3, 5))
    print(
        f"\n{len(rows)} rows; of the {len(ran)} whose peer is installed the peer is wrong in "
        f"{theirs}, ours in {ours}. {packages(rows)}."
    )
    return 1 if any(line[5].startswith("**") for line in cells) else 0


def packages(rows: list[Row]) -> str:
    """The peers by version."""
    found: list[str] = []
    for name in dict.fromkeys(row.peer.partition(":")[0] for row in rows):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} is {ABSENT}")
    return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())
