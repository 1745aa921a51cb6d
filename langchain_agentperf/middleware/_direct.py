"""Hits that nobody listens to: the stored message at once, without a model run.

A replayed hit costs LangChain's own overhead of a model call, several times that of finding it. It
is worth that where someone sees the run: a callback, a tracer, a reader of the token stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, cast
from weakref import WeakKeyDictionary

from langchain.agents.middleware import ModelRequest, ModelResponse
from langchain_core.callbacks import BaseCallbackManager, CallbackManager
from langchain_core.globals import get_debug
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers import context
from langchain_core.utils.env import env_var_is_set

__all__ = ["Direct", "ModelCall", "heard"]


class ModelCall:
    """An agent's own model call.

    Attributes:
        certain: whether it is one: it was met in an earlier call, too.
        named: whether `name` is known.
        name: what the agent calls itself in its messages.
    """

    __slots__ = ("certain", "name", "named")

    def __init__(self) -> None:
        self.certain = False
        self.named = False
        self.name: str | None = None

    def learn(self, response: ModelResponse[Any]) -> None:
        """Take note of what the agent made of a replayed message, which had no name."""
        message = response.result[0] if len(response.result) == 1 else None
        if isinstance(message, AIMessage) and response.structured_response is None:
            self.name, self.named = message.name, True

    def response(self, request: ModelRequest[Any], answer: AIMessage) -> ModelResponse[Any] | None:
        """What it would return to nobody for a stored message; `None` if it has to be asked."""
        if not (self.certain and self.named) or request.response_format is not None:
            return None
        answer.name = self.name
        return ModelResponse(result=[answer])


class Direct:
    """Knows which handlers are an agent's model call itself.

    An agent passes one and the same function to its innermost middleware every time. Whoever has
    middleware further in gets a new closure per call, which is never met again here: then the hit
    goes on through that middleware as a replay, whoever listens.
    """

    def __init__(self) -> None:
        self._met: WeakKeyDictionary[Callable[..., Any], ModelCall] = WeakKeyDictionary()

    def met(self, handler: Callable[..., Any]) -> ModelCall:
        """The model call that a handler may be; not certain when it is met for the first time."""
        try:
            found = self._met.get(handler)
            if found is not None:
                found.certain = True
                return found
            return self._met.setdefault(handler, ModelCall())
        except TypeError:  # a handler without weak references is none of LangChain's
            return ModelCall()


def heard(model: Any) -> bool:
    """Whether anyone would hear of a run of this model."""
    config = var_child_runnable_config.get()
    inherited = config.get("callbacks") if config is not None else None
    if isinstance(inherited, BaseCallbackManager):
        inherited = inherited.handlers
    while isinstance(model, RunnableBinding):
        model = cast("Any", model.bound)
    fields = cast("dict[str, Any]", model.__dict__)
    if inherited or fields.get("callbacks") or fields.get("verbose") or get_debug():
        return True
    if _traced is None or _hooks is None:
        return bool(CallbackManager.configure().handlers)
    # What `configure` asks itself, without making a manager: a third of its time.
    if _traced():
        return True
    for var, _, _, name in _hooks:
        if var.get() is not None or (name is not None and env_var_is_set(name)):
            return True
    return False


# Whether LangSmith traces, and the handlers that context managers add to every run. Private names:
# a LangChain without them is asked the long way.
_traced: Callable[[], bool] | None = getattr(context, "_tracing_v2_is_enabled", None)
_hooks: Sequence[tuple[ContextVar[Any], bool, Any, str | None]] | None = getattr(
    context, "_configure_hooks", None
)
