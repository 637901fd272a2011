"""Options after the ``?`` of a spec: ``vit_small_patch16_224?num_heads=12&img_size=112``."""

import ast
from collections.abc import Mapping
from typing import Any

from ..core.errors import UsageError

_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}


def split_options(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name before the ``?`` and the options after it.

    A value is a Python literal (``12``, ``0.5``, ``(224,320)``), ``true``, ``false`` or ``none``, or otherwise a
    string.

    >>> split_options("vit_tiny_patch16_224?num_heads=12&global_pool=avg")
    ('vit_tiny_patch16_224', {'num_heads': 12, 'global_pool': 'avg'})

    Raises: UsageError: for an option without a value, and for an option that is given twice.
    """
    name, mark, query = text.partition("?")
    options: dict[str, Any] = {}
    for item in query.split("&") if mark else ():
        key, equals, value = item.partition("=")
        if not key.isidentifier() or not equals or not value:
            raise UsageError(
                f"{text} has an option {item!r} that is not key=value. "
                f"Write options as in {name}?num_heads=12&img_size=112."
            )
        if key in options:
            raise UsageError(f"{text} gives the option {key!r} twice. Give it once.")
        options[key] = _value(value)
    return name, options


def join_options(name: str, options: Mapping[str, Any]) -> str:
    """Join a name and options, the inverse of ``split_options``; options are sorted for a unique notation.

    >>> join_options("volo_d1_224", {"img_size": 320, "global_pool": "avg"})
    'volo_d1_224?global_pool=avg&img_size=320'
    """
    items = [f"{key}={_spelled(options[key])}" for key in sorted(options)]
    return "?".join([name, "&".join(items)]) if items else name


def with_options(spec: str, options: Mapping[str, Any]) -> str:
    """Return the spec with further options.

    >>> with_options("file:x.pt#resnet50", {"weights_key": "model_ema", "mean": (0.5, 0.5, 0.5)})
    'file:x.pt#resnet50?mean=(0.5,0.5,0.5)&weights_key=model_ema'
    """
    mark = "&" if "?" in spec.rpartition("#")[2] else "?"
    return spec + mark + join_options("", options).removeprefix("?") if options else spec


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the text is no literal
        return text


def _spelled(value: Any) -> str:
    for word, meaning in _WORDS.items():
        if value is meaning:
            return word
    return str(value).replace(" ", "")
