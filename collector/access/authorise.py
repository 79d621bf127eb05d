"""From a person to what he may see: rules and Kubernetes' RBAC, added up; where neither is set, whoever has proven who he is sees all."""

from __future__ import annotations

from collections.abc import Sequence

from collector.access import roles
from collector.access.looker import EVERYTHING, Looker, Person, Right
from collector.access.subject_access import SubjectAccess
from collector.settings.access_rules import Rule


class Authority:
    """Says what people may see. `rbac`: Kubernetes', where it is asked."""

    def __init__(self, rules: Sequence[Rule], rbac: SubjectAccess | None) -> None:
        self._rules, self._rbac = rules, rbac

    async def looker(self, person: Person) -> Looker:
        """What this person may see. Raises RetryableError: who has to be asked does not answer, and rules give him nothing."""
        if not self._rules and self._rbac is None:
            return Looker(person, dict.fromkeys(Right, EVERYTHING))
        found = roles.looker(self._rules, person)
        if self._rbac is None:
            return found
        rights = dict(found.rights)
        for right, reach in (await self._rbac.looker(person)).rights.items():
            roles.add(rights, [right], reach)
        return Looker(person, rights)
