"""ClusterRoles, their bindings and SubjectAccessReview, as kube-apiserver 1.36 has them: of the scripted API server."""

from __future__ import annotations

from typing import Any

from aiohttp import web

GROUPS = ("rbac.authorization.k8s.io", "authorization.k8s.io")


class Rbac:
    """A binding in a namespace gives its ClusterRole there, one of the cluster everywhere."""

    def __init__(self) -> None:
        self.roles: dict[str, list[dict[str, Any]]] = {}
        self.bindings: dict[tuple[str, str], dict[str, Any]] = {}  # by namespace ("": the cluster) and name
        self.reviewed: list[dict[str, Any]] = []

    def is_ours(self, parts: list[str]) -> bool:
        return parts[:1] == ["apis"] and parts[1:2] != [] and parts[1] in GROUPS

    async def answer(self, request: web.Request, parts: list[str]) -> web.Response:
        if request.method == "DELETE":
            namespace = parts[4] if parts[3] == "namespaces" else ""
            self.bindings.pop((namespace, parts[-1]), None)
            self.roles.pop(parts[-1], None)
            return web.json_response({"kind": "Status", "status": "Success"})
        body = await request.json()
        if parts[-1] == "subjectaccessreviews":
            return web.json_response({**body, "status": self._status(body["spec"])}, status=201)
        if parts[-1] == "clusterroles":
            self.roles[body["metadata"]["name"]] = body["rules"]
        else:
            self.bindings[parts[4] if parts[3] == "namespaces" else "", body["metadata"]["name"]] = body
        return web.json_response(body, status=201)

    def _status(self, spec: dict[str, Any]) -> dict[str, Any]:
        self.reviewed.append(spec)
        wanted = spec["resourceAttributes"]
        name = "/".join(part for part in (wanted["resource"], wanted.get("subresource", "")) if part)
        for (namespace, _), binding in self.bindings.items():
            here = namespace in ("", wanted.get("namespace", ""))
            if here and any(_is(subject, spec) for subject in binding["subjects"]):
                for rule in self.roles.get(binding["roleRef"]["name"], []):
                    if wanted["group"] in rule["apiGroups"] and name in rule["resources"] and wanted["verb"] in rule["verbs"]:
                        return {"allowed": True, "reason": "RBAC: allowed by a binding"}
        return {"allowed": False}


def _is(subject: dict[str, Any], spec: dict[str, Any]) -> bool:
    return subject["name"] in ([spec["user"]] if subject["kind"] == "User" else spec.get("groups", []))
