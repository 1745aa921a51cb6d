"""What can be closed, as a context manager of both worlds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

__all__ = ["Closing"]


class Closing(ABC):
    """Closes itself at the end of a `with` or an `async with`."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held."""

    @abstractmethod
    async def aclose(self) -> None:
        """Like `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()
