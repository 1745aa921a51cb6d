"""What the stand-in model of the support desk says: rules over the turn so far.

It plays a model that uses its tools sensibly: it looks at the last user message and at the tool
results since then, and either asks for the next tool or answers from the results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentperf_core.bench.endpoint import ChatRequest, Reply, text_of

__all__ = ["desk_reply"]

_EMAIL = re.compile(r"[\w.]+@[\w.]+\w")
_RETURN = re.compile(r"\breturn\b.*\b(\d+) days\b")
_DAYS_TO_RETURN = 30


def desk_reply(request: ChatRequest) -> Reply:
    """The next reply to a request of the support desk."""
    question = request.last_user_text
    results = _results(request.turn)
    email = _EMAIL.search(question)
    if email is not None and "find_customer" not in results:
        return Reply.calling(("find_customer", {"email": email.group()}))
    if email is not None and "ticket" in question.lower():
        return _ticket(question, results)
    if email is not None:
        return _track(results)
    known = _by_heart(question.lower())
    if known is None and question.endswith("?"):
        return _help(question, results)
    return Reply(known or "You are welcome! Write to us again whenever you need help.")


def _by_heart(question: str) -> str | None:
    """The answer to what the system prompt says; `None` if tools have to be asked."""
    if "password" in question:
        return "Choose 'Forgot password' on the sign-in page, and we send you a link to a new one."
    if "pay" in question:
        return "We take credit cards, PayPal and bank transfers."
    days = _RETURN.search(question)
    if days is None:
        return None
    if int(days[1]) <= _DAYS_TO_RETURN:
        return f"Yes, after {days[1]} days you can still return it, for free."
    return f"No, {days[1]} days are too long: we take things back for {_DAYS_TO_RETURN} days."


def _help(question: str, results: Mapping[str, Any]) -> Reply:
    if "search_help" not in results:
        return Reply.calling(("search_help", {"question": question}))
    page = results["search_help"]
    return Reply(f"{page['body']} You can read more on our help page '{page['title']}'.")


def _track(results: Mapping[str, Any]) -> Reply:
    customer = results["find_customer"]
    if "list_orders" not in results:
        return Reply.calling(("list_orders", {"customer_id": customer["id"]}))
    newest = results["list_orders"][0]
    if "track_order" not in results:
        return Reply.calling(("track_order", {"order_id": newest["id"]}))
    order = results["track_order"]
    return Reply(
        f"Hello {_first(customer)}, your {order['item']} (order {order['id']}) is "
        f"{order['status']} with {order['carrier']} and should arrive on {order['eta']}. "
        "Is there anything else I can do for you?"
    )


def _ticket(question: str, results: Mapping[str, Any]) -> Reply:
    customer = results["find_customer"]
    if "open_ticket" not in results:
        subject = question.split(",", maxsplit=1)[0]
        return Reply.calling(("open_ticket", {"customer_id": customer["id"], "subject": subject}))
    return Reply(
        f"I am sorry about that, {_first(customer)}. I opened ticket "
        f"{results['open_ticket']['ticket']}; a colleague will write to you within a day."
    )


def _first(customer: Mapping[str, Any]) -> str:
    return str(customer["name"]).partition(" ")[0]


def _results(turn: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Tool results of this turn by tool name."""
    names: dict[str, str] = {}
    results: dict[str, Any] = {}
    for message in turn:
        for call in message.get("tool_calls") or ():
            names[call["id"]] = call["function"]["name"]
        if message.get("role") == "tool":
            results[names[message["tool_call_id"]]] = orjson.loads(text_of(message))
    return results
