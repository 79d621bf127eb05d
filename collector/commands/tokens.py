"""The token that the command line shows to the audit API: from a variable, or saved by `meshscribe login` for one URL and no other."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from collector.commands.exits import InputError

VARIABLE = "MESHSCRIBE_TOKEN"


class Token(NamedTuple):
    """`origin`: where it was found, in words."""

    text: str
    origin: str


def path() -> Path:
    """Where tokens are saved, readable by their owner alone."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "meshscribe" / "tokens.json"


def is_token(text: str) -> bool:
    """Whether a header can hold it, as one word."""
    return text != "" and text.isascii() and text.isprintable() and " " not in text


def find(url: str) -> Token | None:
    """The token for this URL. Raises InputError: what is given can be no token."""
    given = os.environ.get(VARIABLE, "").strip()
    saved = _read().get(url)
    token = Token(given, f"from --token or {VARIABLE}") if given else Token(saved, f"that is saved in {path()}") if saved else None
    if token is not None and not is_token(token.text):
        raise InputError(f"the token {token.origin} holds characters that no token has")
    return token


def save(url: str, token: str) -> Path:
    """Keeps it for this URL. Raises InputError."""
    file = path()
    known = _read() | {url: token}
    _write(file, known)
    return file


def forget(url: str) -> bool:
    """Whether there was one."""
    known = _read()
    if url not in known:
        return False
    del known[url]
    _write(path(), known)
    return True


def _read() -> dict[str, str]:
    try:
        found = json.loads(path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(url): token for url, token in found.items() if isinstance(token, str)} if isinstance(found, dict) else {}


def _write(file: Path, known: dict[str, str]) -> None:
    """A new file in place of the old: nobody reads half of it, and nobody else reads it at all."""
    new = file.with_suffix(".new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            new.unlink()
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            json.dump(known, opened, indent=1)
        new.replace(file)
    except OSError as error:
        raise InputError(f"the token cannot be saved in {file}: {error.strerror}") from None
