"""Opens the tokenizers that the settings name, as an estimator for the decoder. Reads local files only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial

from collector.decode.usage import Estimator
from collector.errors import SettingsError
from collector.settings.meaning import Tokenizer

Count = Callable[[str], int]


def open_estimator(tokenizers: Sequence[Tokenizer]) -> Estimator | None:
    """None if no tokenizer is named. Raises SettingsError with every one that cannot be opened."""
    counts, faults = list[tuple[str, Count]](), list[str]()
    for number, tokenizer in enumerate(tokenizers):
        try:
            counts.append((tokenizer.models, _count(tokenizer)))
        except ValueError as error:
            faults.append(f"usage.tokenizers.{number}.file: {error}")
    if faults:
        raise SettingsError(faults)

    def estimate(model: str, text: str) -> int | None:
        count = next((count for models, count in counts if fnmatchcase(model, models)), None)
        return None if count is None else count(text)

    return estimate if counts else None


def _count(tokenizer: Tokenizer) -> Count:
    if tokenizer.bytes_per_token is not None:
        return partial(_by_size, tokenizer.bytes_per_token)
    try:
        from tokenizers import Tokenizer as Opened
    except ImportError:
        raise ValueError("needs the extra `tokenizers`: pip install meshscribe[tokenizers]") from None
    try:
        opened = Opened.from_file(str(tokenizer.file))
    except Exception as error:  # noqa: BLE001 the library raises nothing more precise
        raise ValueError(f"{tokenizer.file} is no tokenizer.json: {error}") from None
    return lambda text: len(opened.encode(text, add_special_tokens=False).ids)


def _by_size(bytes_per_token: float, text: str) -> int:
    """Rounded up: a text that is there is a token at least."""
    return int(-(-len(text.encode()) // bytes_per_token))
