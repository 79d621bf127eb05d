"""Brings the SQL store's tables up to date by Alembic's migrations, which are in the wheel and in the source tree."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url

from collector.errors import DamagedError


def migrate(url: str) -> list[str]:
    """Applies what is missing, in order; returns the revisions applied. Raises DamagedError if the store is newer than this program."""
    config = _config(url)
    _make_folder(url)
    before = revision(url)
    scripts = ScriptDirectory.from_config(config)
    known = [script.revision for script in scripts.walk_revisions()][::-1]
    if before is not None and before not in known:
        raise DamagedError(f"{make_url(url).render_as_string()}: revision {before} is not known here: the store is of a newer version")
    command.upgrade(config, "head")
    return known[known.index(before) + 1 :] if before else known


def revision(url: str) -> str | None:
    """The revision that the store is at; absent for a new one."""
    engine = create_engine(_sync(url))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def head() -> str | None:
    """The newest revision that this program knows."""
    return ScriptDirectory.from_config(_config("sqlite://")).get_current_head()


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", _sync(url).replace("%", "%%"))
    return config


def _scripts() -> Path:
    package = Path(str(files("collector")))
    shipped = package / "_migrations"
    return shipped if shipped.is_dir() else package.parent / "alembic"


def _sync(url: str) -> str:
    return url


def _make_folder(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
