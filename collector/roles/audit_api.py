"""The audit API of a process: the application with its pages, and what stands before it.

That is: who looks and what that person may see, what writes down and copies who has looked, and the end of looks that are too old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look_expiry import LookExpiry
from collector.access.look_relay import open_look_relay
from collector.access.look_writer import LookWriter
from collector.access.open import Opened, open_access
from collector.access.roles import Authority
from collector.access.subject_access import KnownNamespaces, SubjectAccess
from collector.access.token_review import api_of
from collector.audit.app import AuditApp, create_app
from collector.enrich.directory import Directory
from collector.health import Component, Health
from collector.relays.start import Opening
from collector.roles.parts import Starting
from collector.roles.phase import PhasedHealth
from collector.store.engine import open_looks
from collector.store.retention import Retention
from collector.tasks import cancel
from collector.views.app import mount


class Entrance:
    """What stands there, and how its parts fare."""

    def __init__(self, opened: Opened, roles: SubjectAccess | None) -> None:
        self.opened, self._roles = opened, roles

    def components(self) -> Sequence[Component]:
        """See health.Health."""
        return [*self.opened.components(), *([] if self._roles is None else [self._roles.component()])]


async def start_access(starting: Starting, engine: AsyncEngine, directory: Directory) -> Entrance:
    """Raises SettingsError: a file that does not fit."""
    settings, clock, stack = starting.settings, starting.clock, starting.stack
    roles = None
    if settings.access.kubernetes.enabled and settings.access.kubernetes.roles:
        api = api_of(settings.access.kubernetes)
        stack.push_async_callback(api.close)
        roles = SubjectAccess(api, KnownNamespaces(engine, lambda: _namespaces(directory), clock), clock)
    opened = await open_access(settings, clock, stack, Authority(settings.access.rules, roles).looker)
    return Entrance(opened, roles)


def start_look_expiry(starting: Starting) -> None:
    """Where looks have a time of keeping."""
    days = starting.settings.access.retention_days
    if days is None:
        return
    engine = open_looks(starting.settings.sink)
    starting.stack.push_async_callback(engine.dispose)
    ending = Retention(LookExpiry(engine), days, starting.clock)
    starting.stack.push_async_callback(cancel, asyncio.create_task(ending.run()))


def _namespaces(directory: Directory) -> set[str]:
    return {service["namespace"] for service in directory.services(None, ("", "", ""), None)}


def start_looks(starting: Starting) -> LookWriter:
    """Until the process ends: what waits then is written first. The store is ready."""
    engine = open_looks(starting.settings.sink)
    starting.stack.push_async_callback(engine.dispose)
    writer = LookWriter(engine, starting.clock, starting.registry)
    writer.start()
    starting.stack.push_async_callback(writer.stop)
    return writer


def look_relays(starting: Starting) -> Sequence[Opening]:
    """For start_relays: the relay of looks, where this process has it."""
    return [partial(open_look_relay, starting.settings, starting.clock)] if starting.settings.copies_looks else []


async def start_audit_app(
    starting: Starting, engine: AsyncEngine, health: Health, directory: Directory
) -> tuple[AuditApp, Callable[[], Sequence[Component]]]:
    """The application, and how what stands before it fares. Raises SettingsError: a file of section access that does not fit."""
    settings, clock = starting.settings, starting.clock
    access = await start_access(starting, engine, directory)
    phased = PhasedHealth(health, starting.phase)
    looks = start_looks(starting)
    app = create_app(engine, phased, starting.registry, settings.audit, clock, directory, access.opened, looks, settings.search)
    mount(app, clock, settings.audit.page_limit, settings.usage.group_annotations)
    return app, access.components
