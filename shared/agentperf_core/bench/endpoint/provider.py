"""The real provider, when the environment names one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Provider", "provider_from_env"]


class Provider(NamedTuple):
    """Where to send requests; prints without its key.

    Example:
        >>> Provider("https://api.example.com/v1", "secret")
        Provider(base_url='https://api.example.com/v1', api_key='***')
    """

    base_url: str
    api_key: str

    def __repr__(self) -> str:
        return f"Provider(base_url={self.base_url!r}, api_key='***')"


def provider_from_env(environ: Mapping[str, str] | None = None) -> Provider | None:
    """The provider of `OPENAI_BASE_URL` and `OPENAI_API_KEY`, or `None` unless both are set.

    Example:
        >>> provider_from_env({}) is None
        True
    """
    env = os.environ if environ is None else environ
    base_url, api_key = env.get("OPENAI_BASE_URL", ""), env.get("OPENAI_API_KEY", "")
    return Provider(base_url, api_key) if base_url and api_key else None
