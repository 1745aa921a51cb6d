"""Small arithmetic, evaluated from its syntax tree: numbers and operators, and nothing else."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

__all__ = ["evaluate"]

Number: TypeAlias = int | float

_MOST_CHARACTERS = 200
_MOST_BITS = 4096
_BINARY: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: lambda a, b: a + b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Mult: lambda a, b: a * b,
    ast.Sub: lambda a, b: a - b,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {
    ast.UAdd: lambda a: a,
    ast.USub: lambda a: -a,
}


def evaluate(expression: str) -> Number:
    """The value of an expression of numbers, `+ - * / // % **` and parentheses.

    Raises:
        ValueError: if it is longer than 200 characters, too large, or anything else.
        SyntaxError: if it is no expression.
        ZeroDivisionError, OverflowError: if it has no value.

    Example:
        >>> evaluate("2 * (3 + 4)")
        14
    """
    if len(expression) > _MOST_CHARACTERS:
        msg = f"an expression has at most {_MOST_CHARACTERS} characters, got {len(expression)}"
        raise ValueError(msg)
    value = _value(ast.parse(expression.strip(), mode="eval").body)
    small = value.bit_length() <= _MOST_BITS if isinstance(value, int) else math.isfinite(value)
    if not small:
        msg = "an expression has a value that can be written down, got one that is too large"
        raise ValueError(msg)
    return value


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left), _value(right))
        case _:
            msg = f"an expression has numbers and operators, got a {type(node).__name__}"
            raise ValueError(msg)


def _power(base: Number, exponent: Number) -> Number:
    # Before it is worked out: 9**9**9 would take all memory.
    if isinstance(base, int) and isinstance(exponent, int):
        if base.bit_length() * abs(exponent) > _MOST_BITS:
            msg = f"a power has at most {_MOST_BITS} bits, got {base}**{exponent}"
            raise ValueError(msg)
        return base**exponent
    value: object = base**exponent
    if not isinstance(value, float):  # the root of a negative number
        msg = f"a power is a number, got {base}**{exponent}"
        raise ValueError(msg)  # noqa: TRY004 - the value is wrong, not the caller's type
    return value
