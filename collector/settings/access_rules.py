"""Settings of what may be seen: rules that give roles to people (docs/roles-of-people.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from collector.settings.section import Section

RoleName = Literal["auditor", "viewer", "tenant", "billing", "operator"]
MOST_OWNERS = 200  # namespaces or consumers that one person's reach is made of


class When(Section):
    """Whom a rule is about. All that is said must hold."""

    name: str = Field("", description="The person's name, exactly.")
    group: str = Field("", description="A group that the person is in.")
    proof: Literal["", "oidc", "kubernetes", "mesh", "token", "session"] = Field("", description="How the person has proven who he is.")
    claims: dict[str, str] = Field({}, description="Claims of the token: the value, or one of the values if it is a list.")

    @model_validator(mode="after")
    def _says_something(self) -> When:
        if not (self.name or self.group or self.proof or self.claims):
            raise ValueError("says of nobody whom it is about: name, group, proof or claims")
        return self


class Rule(Section):
    """What some people may see."""

    when: When
    role: RoleName = Field(description="What: see docs/roles-of-people.md.")
    namespaces: list[str] = Field([], max_length=MOST_OWNERS, description="Within these namespaces. With neither this nor consumers: all.")
    namespaces_claim: str = Field("", description="A claim that lists the namespaces. Who has no such claim gets nothing by this rule.")
    consumers: list[str] = Field([], max_length=MOST_OWNERS, description="Of these consumers, by the hashes that records tell.")

    @property
    def is_limited(self) -> bool:
        """Whether it reaches less than everything."""
        return bool(self.namespaces or self.namespaces_claim or self.consumers)

    @model_validator(mode="after")
    def _of_a_tenant(self) -> Rule:
        if self.role == "tenant" and not self.is_limited:
            raise ValueError("a tenant is somebody's: say namespaces, namespaces_claim or consumers")
        return self
