"""The decoder and the catalogue for what is described again, outside of the pipeline."""

from __future__ import annotations

from pathlib import Path

from collector.clock import Clock
from collector.enrich.catalogue import Catalogue
from collector.enrich.directory import open_versions, selection_of
from collector.pipeline.meaning import ExchangeMeaning
from collector.settings import Settings
from collector.store.engine import open_engine


async def stored_meaning(settings: Settings, clock: Clock) -> ExchangeMeaning:
    """The decoder, and the services' versions as the store, or of a Kafka sink their topic, has kept them. Raises RetryableError."""
    catalogue = Catalogue(settings.services.history)
    if not settings.sink.is_kafka and not _is_there(settings.sink.url):
        return ExchangeMeaning.of(settings, catalogue)
    engine = None if settings.sink.is_kafka else open_engine(settings.sink)
    versions = open_versions(settings.kafka, engine, clock)
    try:
        selection = selection_of(settings.services)
        for version in await versions.load():
            catalogue.apply(selection.narrowed(version))
    finally:
        await versions.close()
        if engine is not None:
            await engine.dispose()
    return ExchangeMeaning.of(settings, catalogue)


def _is_there(url: str) -> bool:
    """A missing SQLite file would be made by looking into it."""
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).is_file()
