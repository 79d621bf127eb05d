"""Which hop of a call an exchange is, and whether it is the one to bill. Decided from its own proxy alone: hops live in different
partitions, so no state is shared between them. Two things are remembered where one process sees them: an answer that is told again and
again (a background response) is billed by the first exchange that tells its end, and one that an application in front of a model passes on
by the model, or else by the first of both.

A user's request may pass a gateway, a waypoint, a transformer and a predictor, and each of their proxies reports an exchange. One of them
is billed: by default the predictor's of an InferenceService, the serving one of an LLMInferenceService (not the prefill leg), else the hop
at a workload's own side, if usage was decoded there. The rule's name is on the usage event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast, get_args

from collector.describe.identity import owner
from collector.messages.captured import Decoded
from collector.messages.exchange import Exchange
from collector.messages.record import HopName, RecordedHop
from collector.messages.service import Service
from collector.messages.told_answer import ToldAnswer
from collector.messages.usage import ASKED, RecordedUsage, UsageNumber

ROLES = get_args(HopName)
_COMPONENTS: dict[str, HopName] = {"transformer": "transformer", "explainer": "explainer", "predictor": "predictor"}
_OF_MODEL = frozenset(("transformer", "explainer", "predictor", "prefill", "decode", "serving"))
# Calls that make no model work: nobody is billed for them.
FREE = frozenset((
    "render", "count_tokens", "tokenize", "detokenize", "list", "retrieve", "cancel", "delete", "update", "input_items",
    "create", "results", "upload", "content", "moderate",
    "metadata", "ready", "live", "health", "graph", "models", "model", "config", "stats", "index", "load", "unload",
))  # fmt: skip
_COPY = "-shadow"
_TOKENS = frozenset(("prompt_tokens", "completion_tokens", "total_tokens"))  # what a call that only asked for an answer does not tell
_RETOLD = _TOKENS | {"video_seconds"}
HIDDEN = "[redacted"  # an id that a rule took is no id

# Their answers repeat the request's id, and a caller may give the same to all its calls: by it no two answers are told apart.
CHOSEN_BY_CALLERS = ("kserve-v2", "kserve-v2-grpc")

# Whatever is asked in these protocols, it is no model that answers: an operation is what a caller writes.
FREE_PROTOCOLS = frozenset(("mcp", "a2a"))
# In these there is no usage; a model may have worked all the same.
UNMETERED = FREE_PROTOCOLS | {"", "unknown"}


@dataclass(frozen=True, slots=True)
class Billing:
    """The rule by which a hop is billed: its role is one of these. `mirrored`: copies that a route made are billed too."""

    roles: frozenset[str] = frozenset(("predictor", "serving", "decode", "server"))
    configured: bool = False
    mirrored: bool = False

    def rule(self, role: str, billed: bool) -> str:
        """The rule's name: `predictor-hop`, `not-billed`; `configured:` in front where the operator's roles were asked."""
        name = f"{role}-hop" if billed else "not-billed"
        return f"configured:{name}" if self.configured else name


DEFAULT = Billing()


class Before(Protocol):
    """What exchanges told (correlate/before.py)."""

    def base(self, exchange: str, lost: int) -> bytes:
        """What this one had told when bodies of it were let go for the `lost`th time; empty: nothing, or nobody remembers."""
        ...

    def last(self, exchange: str, lost: int) -> bytes:
        """What this one told last, since its bodies were let go for the `lost`th time; empty: nothing, or nobody remembers."""
        ...

    def note(self, exchange: str, lost: int, told: bytes) -> None:
        """This one told so much by now."""
        ...

    def forget(self, exchange: str) -> None:
        """Nothing more comes of this one."""
        ...


class Once(Protocol):
    """Remembers which answers were billed, and what was told before (correlate/answers.py)."""

    @property
    def before(self) -> Before:
        """What exchanges told whose bodies may be let go."""
        ...

    def first(self, service: str, answer: str, exchange: str) -> bool:
        """Whether this exchange bills the answer: no other has."""
        ...

    def is_told_first(self, told: ToldAnswer) -> bool:
        """Whether this exchange is billed of all that told this answer: no other service's did before, or it is the model's."""
        ...


def answered(status: int | None, decoded: Decoded, came: bool = False) -> bool:
    """Whether the call was answered: not refused, failed or sent elsewhere, or else the server told usage all the same, above 0.

    An error may come with status 200, as gRPC's do, or in a stream. `came`: bytes of an answer did, which matters where no status did.
    """
    usage = decoded.usage
    refused = not (came or usage) if status is None else not (200 <= status < 300 or status == 101)
    if not (refused or "error" in decoded.inference or not ASKED.isdisjoint(usage)):
        return True
    return any(name not in ASKED and number["provenance"] != "estimated" and number["value"] > 0 for name, number in numbers_of(usage))


def is_of_model(role: str, service: Service) -> bool:
    """Whether the workload behind it serves models: then a call that nobody can read may have cost something."""
    return role in _OF_MODEL or "name" in service


def numbers_of(usage: RecordedUsage) -> list[tuple[str, UsageNumber]]:
    """What is counted, by name."""
    numbers = cast("dict[str, UsageNumber]", usage)
    return [told for told in numbers.items() if isinstance(told[1], dict) and told[0] != "other"]


def hop(
    exchange: Exchange,
    service: Service,
    billing: Billing = DEFAULT,
    operation: str = "",
    metered: bool = True,
    answered: bool = True,
    authority: str = "",
    protocol: str = "",
    doubtful: bool = False,
    once: Callable[[], bool] | None = None,
    costs: bool = True,
    told_first: Callable[[bool], bool] | None = None,
) -> RecordedHop:
    """{"role", "billable", "rule"}. `operation`, `protocol`: what was wanted; some cost nothing. `metered`: usage was decoded. `authority`:
    as asked. `doubtful`: only the caller's headers tell the protocol; they make no call to a model's workload free.

    `once`: of an answer that is told more than once, whether it is billed here; asked only where it would be. Then who retrieves it is
    billed like who asked for it, and all others are `billed-before`.

    What was not answered is not billed, whatever was asked: the rule is `not-answered`. Nor is a copy that a route made: `mirrored`.
    `costs`: there is a number, or a reason why there is none; a preflight has neither, and is not billed. `told_first`: whether no other
    workload told the same answer, asked only where it would be billed, and told whether this one serves models.

    By default a workload that is nobody's service is billed only where usage was decoded: an application in front of a model that
    passes its calls on has the same role, and decodes to nothing.
    """
    name = role(exchange, service)
    free = (operation in FREE and once is None) or (protocol in FREE_PROTOCOLS and not (doubtful and is_of_model(name, service)))
    billed = name in billing.roles and not free and (metered or billing.configured or name != "server")
    if billed and not answered:
        return {"role": name, "billable": False, "rule": "not-answered"}
    if billed and not billing.mirrored and is_mirrored(authority, service, exchange.node.workload):
        return {"role": name, "billable": False, "rule": "mirrored"}
    billed &= costs
    if billed and _was_billed(once, told_first, is_of_model(name, service)):
        return {"role": name, "billable": False, "rule": "billed-before"}
    return {"role": name, "billable": billed, "rule": billing.rule(name, billed)}


def _was_billed(once: Callable[[], bool] | None, told_first: Callable[[bool], bool] | None, of_model: bool) -> bool:
    """Asks both: each remembers what it is asked."""
    before = told_first is not None and not told_first(of_model)
    return (once is not None and not once()) or before


def first_of(answers: Once | None, exchange: Exchange, service: Service, decoded: Decoded, identity: str) -> Callable[[], bool] | None:
    """Whether the answer that tells usage here was told to nobody before; None: it tells none, nobody remembers, or its id is not known."""
    answer = decoded.inference.get("id", "")
    told = any(name in _RETOLD and number["provenance"] != "estimated" for name, number in numbers_of(decoded.usage))
    if answers is None or not told or not answer or HIDDEN in answer:
        return None
    namespace, name = owner(exchange.node, service)
    # Of vLLM a caller chooses the id (`request_id`), and may give the same to all its calls.
    return lambda: answers.first(f"{namespace}/{name}", f"{answer}\0{decoded.created}", identity)


def is_mirrored(authority: str, service: Service, workload: str) -> bool:
    """Whether this is a copy whose answer nobody gets: Envoy ends the host of such requests in `-shadow`, before the port
    (config.route.v3.RouteAction.RequestMirrorPolicy). A service or workload may itself be called so.
    """
    if _COPY not in authority:
        return False
    host = authority.rpartition(":")[0] if authority.rpartition(":")[2].isdecimal() else authority
    return host.endswith(_COPY) and host not in (service.get("name"), workload)


def role(exchange: Exchange, service: Service) -> HopName:
    """gateway, waypoint, client, transformer, explainer, predictor, prefill, decode, serving or server.

    Sources: Istio's node id (`sidecar~…`, `router~…`, `waypoint~…`), KServe's pod labels, llm-d's role label.
    """
    kind = exchange.node.id.partition("~")[0]
    if kind == "router":
        return "gateway"
    if kind == "waypoint":
        return "waypoint"
    log = exchange.access_log
    if log is not None and log.upstream_cluster.startswith(("outbound|", "outbound_.")):
        return "client"
    labels = exchange.node.labels
    component = _COMPONENTS.get(service.get("component") or labels.get("component", ""))
    return component or _llm_role(labels, service)


def _llm_role(labels: dict[str, str], service: Service) -> HopName:
    leg = labels.get("llm-d.ai/role", "")
    if leg == "prefill" or labels.get("app.kubernetes.io/component", "").endswith("prefill"):
        return "prefill"
    if leg == "decode":
        return "decode"
    return "serving" if service.get("kind") == "LLMInferenceService" else "server"
