"""Settings of who is behind a call: which headers name a person, an agent, a session, and whose word they are."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from collector.messages.people import BAGGAGE, PersonKind, Trust
from collector.settings.section import Section

_MOST = 16
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,128}")  # a token of RFC 9110, in lower case
_TOKENS = ("authorization", "proxy-authorization", "cookie")
# What the record tells of them in other places too, where no hash would stand for them.
_TOLD_ELSEWHERE = ("user-agent", "host", "x-request-id", "content-type", "content-encoding", "traceparent")


class PersonSource(Section):
    """Where a name stands in a request, and whose word it is."""

    header: str = Field("", description="Request header.")
    claims: list[str] = Field(
        [], max_length=8, description="The header holds a JWT's payload in base64: these claims of it, joined by `/`."
    )
    baggage: str = Field("", max_length=128, description="In place of a header: a key of the baggage.")
    by: Trust = Field("client", description="Whose word it is: the mesh verified it, a gateway sets it, or the client says so.")
    callers: list[str] = Field(
        [], max_length=64, description="SPIFFE ids (`*` at the end: any rest) of whom `by` is believed; others' are told as the client's."
    )

    @field_validator("header")
    @classmethod
    def _is_name(cls, name: str) -> str:
        name = name.strip().lower()
        if name and not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        return name

    @field_validator("claims")
    @classmethod
    def _named(cls, claims: list[str]) -> list[str]:
        if not all(claims):
            raise ValueError("a claim without a name")
        return claims

    @model_validator(mode="after")
    def _one_place(self) -> PersonSource:
        if bool(self.header) == bool(self.baggage):
            raise ValueError("needs either header or baggage")
        if self.header == BAGGAGE:
            raise ValueError("of the header baggage name a key: {baggage: user.id}")
        if self.claims and (self.baggage or self.header in _TOKENS):
            raise ValueError("claims are read from a payload that the mesh wrote into a header of its own (outputPayloadToHeader)")
        if self.callers and self.by == "client":
            raise ValueError("callers is of no use where the client's word is taken anyway")
        return self


class People(Section):
    """Who is behind a call (docs/people.md). Of each list the first that names somebody counts."""

    user: list[PersonSource] = Field(
        [], max_length=_MOST, description="`{header, claims, by, callers}` or `{baggage, by, callers}`: where the person stands."
    )
    agent: list[PersonSource] = Field([], max_length=_MOST, description="The same for the agent.")
    session: list[PersonSource] = Field([], max_length=_MOST, description="The same for the session or conversation.")
    bodies: bool = Field(
        False,
        description="What requests say of user and session in fields of their protocol counts, as the client's word, always as a hash.",
    )
    clear: list[PersonKind] = Field(
        [], description="Of these the names are stored as they are; else as a hash, and the name is in no header that is stored."
    )

    @property
    def sources(self) -> dict[PersonKind, list[PersonSource]]:
        """All of them, by whom they name."""
        return {"user": self.user, "agent": self.agent, "session": self.session}

    @property
    def is_told(self) -> bool:
        """Whether anybody is to be named."""
        return bool(self.user or self.agent or self.session or self.bodies)

    @property
    def needs_key(self) -> str:
        """What is told as a hash that no tap filter can make; empty if nothing is."""
        if self.bodies:
            return "bodies"
        named = [kind for kind, of in self.sources.items() if kind not in self.clear and any(one.claims or one.baggage for one in of)]
        return named[0] if named else ""

    @model_validator(mode="after")
    def _can_be_hidden(self) -> People:
        shown = [one.header for kind, of in self.sources.items() if kind not in self.clear for one in of if one.header in _TOLD_ELSEWHERE]
        if shown:
            raise ValueError(f"the record tells {shown[0]} elsewhere too, so that a hash hides nothing: name it where `clear` does")
        return self
