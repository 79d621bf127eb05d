"""Workloads, as the mesh vouches for them: the identity that our own sidecar put last into `x-forwarded-client-cert`."""

from __future__ import annotations

from collections.abc import Iterable

from collector.access.looker import Person
from collector.access.proof import NotProvenError
from collector.receive.identity import DeniedError, sender_of


class MeshPrincipals:
    """Those that `access.mesh.principals` names. Of others nothing is taken for proven, whatever the mesh says."""

    def __init__(self, principals: Iterable[str]) -> None:
        wanted = list(principals)
        self._exact = frozenset(name for name in wanted if not name.endswith("*"))
        self._beginnings = tuple(name[:-1] for name in wanted if name.endswith("*"))

    def prove(self, header: str) -> Person:
        """Whom the header's last element names; several lines of it joined by commas. Raises NotProvenError."""
        try:
            sender = sender_of(header)
        except DeniedError as error:
            raise NotProvenError(str(error)) from None
        if sender.id not in self._exact and not sender.id.startswith(self._beginnings):
            raise NotProvenError(f"access.mesh.principals does not name {sender.id}")
        return Person(
            sender.id, "mesh", (f"namespace:{sender.namespace}",), {"namespace": sender.namespace, "account": sender.service_account}
        )
