"""What Kubernetes accepts although the collector would not run, not be reached, or not be safe with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.manifests.lints_mesh import Lint
from tests.manifests.world import Document, World, name_of

PROTOCOLS = ("http-", "http2-", "https-", "grpc-", "tcp-", "tls-")
LISTENERS = {
    "MESHSCRIBE_INGEST__PORT": "http-tap",
    "MESHSCRIBE_INGEST__GRPC_PORT": "grpc-als",
    "MESHSCRIBE_AUDIT__PORT": "http-audit",
    "MESHSCRIBE_AUDIT__PROBE_PORT": "http-probe",
}


def ports_name_their_protocol(world: World) -> Iterator[str]:
    """Istio takes a port without a protocol prefix for HTTP or TCP as it sees fit; gRPC then may run over HTTP/1."""
    for service in world.services().values():
        for number, name in service.ports.items():
            if not name.startswith(PROTOCOLS):
                yield f"{service.host}: port {number} is named {name!r}, without a protocol"


def selectors_match_the_pod(world: World) -> Iterator[str]:
    labels = world.pod()["metadata"]["labels"].items()
    for document in world.of("Service", "NetworkPolicy", "PeerAuthentication", "AuthorizationPolicy", "Deployment"):
        if not _selector(document).items() <= labels:
            yield f"{name_of(document)}: its selector does not match the collector's pod"


def target_ports_exist(world: World) -> Iterator[str]:
    """Services, policies and probes name ports that the container declares."""
    declared = _container_ports(world)
    for service in world.services().values():
        yield from (f"{service.host}: no container port {t!r}" for t in service.targets.values() if t not in declared)
    for policy in world.of("NetworkPolicy"):
        for rule in policy["spec"]["ingress"]:
            named = [port["port"] for port in rule["ports"] if isinstance(port["port"], str)]
            yield from (f"{name_of(policy)}: no container port {port!r}" for port in named if port not in declared)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        port = _collector(world).get(probe, {}).get("httpGet", {}).get("port")
        if port != LISTENERS["MESHSCRIBE_AUDIT__PROBE_PORT"]:
            yield f"{probe} asks {port!r}, not the listener for probes"
    scraped = world.pod()["metadata"]["annotations"]["prometheus.io/port"]
    if scraped != str(declared.get(LISTENERS["MESHSCRIBE_AUDIT__PROBE_PORT"])):
        yield f"Prometheus asks {scraped}, not the listener for probes"


def settings_fit_the_pod(world: World) -> Iterator[str]:
    """The listeners' ports are the container's, and what must last is on the volume."""
    (settings,) = [document["data"] for document in world.of("ConfigMap")]
    declared = _container_ports(world)
    for variable, port in LISTENERS.items():
        if settings.get(variable) != str(declared.get(port)):
            yield f"{variable} is {settings.get(variable)}, the container's {port} is {declared.get(port)}"
    mounts = {mount["mountPath"] for mount in _collector(world)["volumeMounts"] if mount["name"] == "data"}
    for variable in ("MESHSCRIBE_JOURNAL__PATH", "MESHSCRIBE_SINK__URL"):
        path = PurePosixPath(settings[variable].removeprefix("sqlite:///"))
        if str(path.parent) not in mounts:
            yield f"{variable}: {path} is not on the volume"
    if settings.get("SQLITE_TMPDIR") not in mounts:
        yield "SQLITE_TMPDIR: what SQLite sorts for an index is not on the volume"


def service_links_are_off(world: World) -> Iterator[str]:
    """They would put variables such as MESHSCRIBE_INGEST_PORT=tcp://… among the settings."""
    if world.pod()["spec"].get("enableServiceLinks") is not False:
        yield "enableServiceLinks must be false"


def one_writer_owns_the_volume(world: World) -> Iterator[str]:
    (deployment,) = world.of("Deployment")
    spec = deployment["spec"]
    if spec.get("replicas") != 1 or spec.get("strategy", {}).get("type") != "Recreate":
        yield "two collectors would write to one journal: one replica and Recreate"


def pods_are_confined(world: World) -> Iterator[str]:
    """Pod Security Standard `restricted`, and a root file system that cannot be written."""
    pod = world.pod()["spec"]
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "the pod must run as non-root with seccomp RuntimeDefault"
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        confined = own.get("allowPrivilegeEscalation") is False and own.get("readOnlyRootFilesystem") is True
        if not confined or own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"container {container['name']} is not confined"


def _selector(document: Document) -> dict[str, str]:
    spec = document["spec"]
    selector = spec.get("podSelector") or spec.get("selector", {})
    found: dict[str, str] = selector.get("matchLabels", selector)
    return found


def _collector(world: World) -> Document:
    (container,) = world.pod()["spec"]["containers"]
    found: Document = container
    return found


def _container_ports(world: World) -> dict[str | int, int]:
    return {port["name"]: port["containerPort"] for port in _collector(world)["ports"]}


LINTS: tuple[Lint, ...] = (
    ports_name_their_protocol,
    selectors_match_the_pod,
    target_ports_exist,
    settings_fit_the_pod,
    service_links_are_off,
    one_writer_owns_the_volume,
    pods_are_confined,
)
