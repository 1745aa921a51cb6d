"""Polite phrases that tell a model nothing, per language; yours to change.

A phrase is taken out only where it is a sentence by itself, or stands at the beginning or end of
one with a comma between; one that ends in `...` also where it opens a sentence that goes on: "Could
you please list them?". Code, tables and quotes are left alone. `CleanUp(phrases=PHRASES | {"en":
("kindly",)})` replaces one language, and `load_phrases()` reads a file of your own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

from agentperf_core.errors import ConfigError

__all__ = ["PHRASES", "Phrases", "checked_phrases", "load_phrases"]

Phrases: TypeAlias = Mapping[str, Sequence[str]]

PHRASES: Phrases = {
    "en": (
        "please ...",
        "could you please ...",
        "can you please ...",
        "would you please ...",
        "would you be so kind as to ...",
        "would you mind ...",
        "i would like you to ...",
        "i would be grateful if you could ...",
        "i was wondering if you could ...",
        "if you don't mind",
        "if it's not too much trouble",
        "thank you",
        "thanks",
        "thank you very much",
        "thank you so much",
        "thank you in advance",
        "thanks in advance",
        "many thanks",
        "thank you for your help",
        "thank you for your time",
        "i hope this message finds you well",
        "i hope this email finds you well",
        "i hope you are doing well",
        "i hope you're doing well",
        "have a nice day",
        "have a great day",
        "best regards",
        "kind regards",
        "i really appreciate your help",
        "i appreciate your help",
        "feel free to reach out if you have any questions",
        "please let me know if you have any questions",
        "please do not hesitate to contact us",
        "please don't hesitate to contact us",
    ),
    "de": (
        "bitte",
        "könntest du bitte ...",
        "könnten sie bitte ...",
        "kannst du bitte ...",
        "können sie bitte ...",
        "wenn es keine umstände macht",
        "danke",
        "vielen dank",
        "vielen dank im voraus",
        "herzlichen dank",
        "mit freundlichen grüßen",
        "viele grüße",
        "ich hoffe, es geht ihnen gut",
        "einen schönen tag noch",
    ),
    "fr": (
        "s'il vous plaît",
        "s'il te plaît",
        "pourriez-vous s'il vous plaît ...",
        "merci",
        "merci beaucoup",
        "merci d'avance",
        "je vous remercie par avance",
        "cordialement",
        "bonne journée",
        "j'espère que vous allez bien",
    ),
    "es": (
        "por favor ...",
        "podrías por favor ...",
        "podría por favor ...",
        "gracias",
        "muchas gracias",
        "gracias de antemano",
        "saludos cordiales",
        "espero que estés bien",
        "espero que se encuentre bien",
        "que tengas un buen día",
    ),
    "it": (
        "per favore",
        "per piacere",
        "potresti per favore ...",
        "grazie",
        "grazie mille",
        "grazie in anticipo",
        "cordiali saluti",
        "buona giornata",
    ),
    "pt": (
        "por favor ...",
        "você poderia por favor ...",
        "obrigado",
        "obrigada",
        "muito obrigado",
        "muito obrigada",
        "desde já agradeço",
        "atenciosamente",
        "tenha um bom dia",
    ),
    "nl": ("alsjeblieft", "alstublieft", "bedankt", "dank u wel", "met vriendelijke groet"),
    "ru": (
        "пожалуйста",
        "будьте добры",
        "спасибо",
        "большое спасибо",
        "заранее спасибо",
        "с уважением",  # noqa: RUF001 - Russian
        "хорошего дня",
    ),
    "zh": (
        "麻烦您...",
        "麻煩您...",
        "非常感谢",
        "非常感謝",
        "谢谢您",
        "謝謝您",
        "谢谢",
        "謝謝",
        "祝您生活愉快",
    ),
    "ja": (
        "お願いいたします",
        "よろしくお願いします",
        "よろしくお願いいたします",
        "ありがとうございます",
        "お世話になっております",
    ),
    "ko": ("감사합니다", "부탁드립니다", "수고하세요"),
}


def load_phrases(path: str | Path) -> Phrases:
    """Phrases from a JSON file of yours: an object from language to a list of phrases.

    Raises:
        ConfigError: if it holds anything else.
        OSError: if it cannot be read.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError as error:
        msg = f"phrases are a JSON object from language to a list of phrases, got {str(path)!r}"
        raise ConfigError(msg) from error
    return checked_phrases(found)


def checked_phrases(given: Any) -> Phrases:
    """The phrases, if they are such a mapping.

    Raises:
        ConfigError: if they are not.
    """
    if isinstance(given, Mapping):
        lists = cast("Mapping[Any, Any]", given)
        if all(_is_list(language, phrases) for language, phrases in lists.items()):
            return cast("Phrases", lists)
    msg = (
        f"phrases are a mapping from language to a list of phrases, got {given!r}; "
        'write for instance {"en": ["please"]}'
    )
    raise ConfigError(msg)


def _is_list(language: Any, phrases: Any) -> bool:
    return (
        isinstance(language, str)
        and isinstance(phrases, Sequence)
        and not isinstance(phrases, str)
        and all(
            isinstance(one, str) and one.strip().removesuffix("...").strip()
            for one in cast("Sequence[Any]", phrases)
        )
    )
