"""Starts what stands before the audit API: who looks, what that person may see, and the end of looks that are too old."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from collector.access.look_expiry import LookExpiry
from collector.access.open import Opened, open_access
from collector.access.roles import Authority
from collector.access.subject_access import KnownNamespaces, SubjectAccess
from collector.access.token_review import api_of
from collector.enrich.directory import Directory
from collector.health import Component
from collector.roles.parts import Starting
from collector.store.engine import open_looks
from collector.store.retention import Retention
from collector.tasks import cancel


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
