"""A support desk over a real SQLite database: five tools of the demo agent, and their policies."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from agentperf_core.toolpolicy import ToolPolicy

__all__ = ["TOOL_POLICIES", "SupportDesk"]

TOOL_POLICIES: Mapping[str, ToolPolicy] = {
    "find_customer": ToolPolicy(read_only=True, ttl_s=600, reads=["customers"], timeout_s=10),
    "list_orders": ToolPolicy(
        read_only=True, ttl_s=300, reads=["orders:{customer_id}"], timeout_s=10
    ),
    "track_order": ToolPolicy(
        read_only=True, ttl_s=300, reads=["tracking:{order_id}"], timeout_s=10
    ),
    "search_help": ToolPolicy(read_only=True, ttl_s=3600, reads=["help"], timeout_s=10),
    "open_ticket": ToolPolicy(writes=["tickets:{customer_id}"], timeout_s=10),
}
"""What is declared of the desk's tools: four that read, and one that writes and always runs."""

_SCHEMA = """
create table customers (id integer primary key, name text, email text unique);
create table orders (id integer primary key, customer_id integer references customers,
                     item text, status text, carrier text, eta text);
create table articles (id integer primary key, title text, body text);
create table keywords (word text, article_id integer references articles,
                       primary key (word, article_id));
create table tickets (id integer primary key, customer_id integer references customers,
                      subject text);
"""

_CUSTOMERS = [
    (1, "Ana Ruiz", "ana@example.com"),
    (2, "Ben Okafor", "ben@example.com"),
    (3, "Carla Weiss", "carla@example.com"),
]
_ORDERS = [
    (1001, 1, "reading lamp", "delivered", "PostNord", "2026-10-02"),
    (1002, 1, "desk chair", "in transit", "DHL", "2026-11-24"),
    (1003, 2, "ceramic teapot", "delivered", "DHL", "2026-11-18"),
    (1004, 3, "wool blanket", "packed", "GLS", "2026-11-27"),
]
_ARTICLES = [
    (
        1,
        "Refunds",
        "A refund reaches your account 5 working days after the parcel is back with us.",
        "refund refunds money back",
    ),
    (
        2,
        "Shipping abroad",
        "We ship to all EU countries, Norway and Switzerland; delivery takes 4 to 7 working days.",
        "ship shipping norway switzerland abroad delivery",
    ),
    (
        3,
        "Opened items",
        "Opened items can be returned within 30 days if they work and nothing is missing.",
        "opened return returns open items",
    ),
]


class SupportDesk:
    """The desk's database and its five tools; one per arm, so that written tickets do not mix.

    The connection is shared between threads under a lock, since frameworks run sync tools in pools.

    Args:
        path: where the database lives; by default in memory.

    Example:
        >>> with SupportDesk() as desk:
        ...     desk.find_customer("ana@example.com")
        '{"id":1,"name":"Ana Ruiz","email":"ana@example.com"}'
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._lock = threading.Lock()
        self._asked = 0
        with self._db:
            self._db.executescript(_SCHEMA)
            self._db.executemany("insert into customers values (?, ?, ?)", _CUSTOMERS)
            self._db.executemany("insert into orders values (?, ?, ?, ?, ?, ?)", _ORDERS)
            for number, title, body, words in _ARTICLES:
                self._db.execute("insert into articles values (?, ?, ?)", (number, title, body))
                self._db.executemany(
                    "insert into keywords values (?, ?)", [(word, number) for word in words.split()]
                )

    @property
    def tools(self) -> Sequence[Callable[..., str]]:
        """The five tools as plain functions with type hints and docstrings."""
        return (
            self.find_customer,
            self.list_orders,
            self.track_order,
            self.search_help,
            self.open_ticket,
        )

    def find_customer(self, email: str) -> str:
        """Find a customer by e-mail address."""
        return self._one("select id, name, email from customers where email = ?", email)

    def list_orders(self, customer_id: int) -> str:
        """List the orders of a customer, newest first."""
        return self._all(
            "select id, item, status from orders where customer_id = ? order by id desc",
            customer_id,
        )

    def track_order(self, order_id: int) -> str:
        """Say where an order is and when it arrives."""
        return self._one("select id, item, status, carrier, eta from orders where id = ?", order_id)

    def search_help(self, question: str) -> str:
        """Search the help pages for a question."""
        words = [word.strip("?!.,").lower() for word in question.split()]
        marks = ",".join("?" * len(words))
        return self._one(
            "select title, body from articles join keywords on articles.id = article_id "  # noqa: S608 - only question marks are put in
            f"where word in ({marks}) group by articles.id order by count(*) desc, articles.id",
            *words,
        )

    def open_ticket(self, customer_id: int, subject: str) -> str:
        """Open a ticket for a person to look at."""
        with self._lock, self._db:
            self._asked += 1
            cursor = self._db.execute(
                "insert into tickets (customer_id, subject) values (?, ?)", (customer_id, subject)
            )
        return orjson.dumps({"ticket": cursor.lastrowid, "subject": subject}).decode()

    def tools_ran(self) -> int:
        """How many tool calls reached the desk."""
        with self._lock:
            return self._asked

    def tickets(self) -> int:
        """How many tickets were opened."""
        with self._lock:
            return int(self._db.execute("select count(*) from tickets").fetchone()[0])

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _one(self, query: str, *values: Any) -> str:
        with self._lock:
            self._asked += 1
            row = self._db.execute(query, values).fetchone()
        return orjson.dumps(dict(row) if row is not None else {"error": "nothing found"}).decode()

    def _all(self, query: str, *values: Any) -> str:
        with self._lock:
            self._asked += 1
            rows = self._db.execute(query, values).fetchall()
        return orjson.dumps([dict(row) for row in rows]).decode()
