"""Settings of who may look: how somebody proves to the audit listener who he is, and rules that give roles (docs/roles-of-people.md)."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from collector.settings.section import Section, is_there

RoleName = Literal["auditor", "viewer", "tenant", "billing", "operator"]
MOST_OWNERS = 200  # namespaces or consumers that one person's reach is made of
# A key that is public must not be able to sign: no algorithm with a shared secret is among these, and none that signs nothing.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


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


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener on this host."""
    name = host.strip("[]").lower()
    try:
        return name in LOOPBACK_NAMES or ip_address(name).is_loopback
    except ValueError:
        return False


class Oidc(Section):
    """An OpenID Connect provider whose tokens are taken, and who logs browsers in."""

    issuer: str = Field("", description="Its URL, as tokens name it in `iss`. Empty: none is asked.")
    audience: str = Field("", description="What `aud` of a bearer token must name. Needed with `issuer`.")
    algorithms: list[Algorithm] = Field(["RS256", "ES256"], min_length=1, description="Algorithms of signatures that are taken.")
    name_claim: str = Field("sub", min_length=1, description="The claim that names a person. It must be unique, and not changeable by him.")
    groups_claim: str = Field("groups", min_length=1, description="The claim that lists a person's groups.")
    client_id: str = Field("", description="Our name there, for the login of browsers and of `meshscribe login`. Empty: no such login.")
    client_secret_file: Path | None = Field(None, description="File with our secret there, read for each login. None: a public client.")
    scopes: list[str] = Field(["openid", "profile", "email"], description="What a login asks for; `openid` is needed.")
    ca_file: Path | None = Field(None, description="PEM of the authorities that vouch for the provider, in place of the system's.")
    leeway_seconds: float = Field(30.0, ge=0, le=300, description="By how much the provider's clock may differ from ours.")

    @field_validator("ca_file", "client_secret_file")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        return is_there(path)

    @field_validator("issuer")
    @classmethod
    def _is_safe(cls, issuer: str) -> str:
        if issuer and (wrong := _wrong_url(issuer)):
            raise ValueError(f"{wrong}: whoever can change its keys on the way can be anybody")
        return issuer

    @model_validator(mode="after")
    def _whole(self) -> Oidc:
        if self.issuer and not self.audience:
            raise ValueError("audience is needed with issuer: else a token that was made for another service would do")
        if not self.issuer and (self.audience or self.client_id):
            raise ValueError("issuer is needed: audience and client_id say nothing without it")
        if "openid" not in self.scopes:
            raise ValueError("scopes must name openid")
        return self


class KubernetesLogin(Section):
    """Kubernetes' own tokens, by TokenReview."""

    enabled: bool = Field(False, description="Whether bearer tokens are shown to the Kubernetes API server.")
    audience: str = Field(
        "meshscribe",
        description="What the token must have been made for: `kubectl create token NAME --audience meshscribe`. Empty: for the API server"
        " itself, so that kubectl's own token does; then whoever can read our memory can use it there.",
    )
    cache_seconds: float = Field(10.0, ge=0, le=10, description="How long an answer holds.")
    roles: bool = Field(
        False,
        description="Whether RBAC says what people proven by it may see, by SubjectAccessReview (docs/roles-of-people.md).",
    )
    kubeconfig: Path | None = Field(None, description="How the API server is reached; absent: as the pod's ServiceAccount.")

    @field_validator("kubeconfig")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        return is_there(path)


class MeshLogin(Section):
    """Workloads, as the mesh vouches for them in `x-forwarded-client-cert`."""

    principals: list[str] = Field(
        [],
        description="SPIFFE ids that are taken as proven, `spiffe://cluster.local/ns/billing/sa/*` for all of a namespace. Only where our"
        " sidecar ends mutual TLS for the audit port (STRICT): elsewhere anybody can write that header. Never that of a gateway which lets"
        " people in.",
    )

    @field_validator("principals")
    @classmethod
    def _are_ids(cls, principals: list[str]) -> list[str]:
        for principal in principals:
            if not principal.startswith("spiffe://") or "/ns/" not in principal or "*" in principal[:-1]:
                raise ValueError(f"{principal!r} is not spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, or the same with /sa/* at its end")
            if principal.endswith("*") and not principal.endswith("/sa/*"):
                raise ValueError(f"{principal!r}: a * stands for all accounts of a namespace, as /sa/* does")
        return principals


class Access(Section):
    """Who may look at the audit listener (docs/access.md). With nothing here nobody is asked, on a loopback address only."""

    open: bool = Field(False, description="true: nobody is asked who he is, on any address. Everybody who reaches the port sees all.")
    url: str = Field("", description="The https URL under which browsers reach the audit listener. Needed for their login by OIDC.")
    oidc: Oidc = Oidc()
    kubernetes: KubernetesLogin = KubernetesLogin()
    mesh: MeshLogin = MeshLogin()
    tokens_file: Path | None = Field(
        None, description="File of static tokens, as hashes, read again when it changes. `meshscribe access token NAME` makes a line of it."
    )
    session_seconds: float = Field(8 * 3600.0, ge=60, le=30 * 86400, description="How long a browser stays logged in.")
    rules: list[Rule] = Field([], description="What people may see: roles for whom they fit (docs/roles-of-people.md). None: all.")
    reason: Literal["off", "required"] = Field(
        "off", description="required: who looks at what was asked or answered in an exchange must say why (docs/looks.md)."
    )
    retention_days: int | None = Field(None, ge=1, le=36_500, description="`serve` deletes looks that are older; absent: it deletes none.")

    to_kafka: bool = Field(False, description="Who looked is copied from the SQL store to kafka.access_topic too (docs/looks.md).")

    @field_validator("reason", mode="before")
    @classmethod
    def _as_yaml_reads_it(cls, value: object) -> object:
        return "off" if value is False else value  # off, without quotes, is YAML's word for false

    @field_validator("tokens_file")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        return is_there(path)

    @field_validator("url")
    @classmethod
    def _is_origin(cls, url: str) -> str:
        if url and (wrong := _wrong_url(url)):
            raise ValueError(wrong)
        if url and urlsplit(url).path not in ("", "/"):
            raise ValueError("expected a scheme and a name only, such as https://audit.example.org: cookies are for a whole name")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _one_of_both(self) -> Access:
        if self.open and self.asks:
            raise ValueError("open: true asks nobody who he is: leave it out, or what else stands here")
        return self

    @property
    def asks(self) -> bool:
        """Whether somebody who wants to look must prove who he is."""
        return bool(self.oidc.issuer or self.kubernetes.enabled or self.mesh.principals or self.tokens_file)


def _wrong_url(url: str) -> str:
    """What is wrong with it; empty if nothing is."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        return str(error)
    if not host or parts.query or parts.fragment or parts.username:
        return f"{url!r} is no URL such as https://login.example.org/realms/main"
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        return f"{url!r} is not https"
    return ""
