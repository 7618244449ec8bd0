"""Discovery: which kinds there are, in the aggregated form that kubectl prefers and in the older one."""

from __future__ import annotations

from cachesim.apiserver.resources import JsonObject, ResourceRegistry, ResourceType

_READ_VERBS = ["get", "list", "watch"]
_WRITE_VERBS = ["create", "delete", "deletecollection", "patch", "update"]
_SUBRESOURCE_VERBS = {"binding": ["create"], "eviction": ["create"], "log": ["get"], "finalize": ["update"]}
_SUBRESOURCE_KINDS = {
    "binding": {"group": "", "version": "v1", "kind": "Binding"},
    "eviction": {"group": "policy", "version": "v1", "kind": "Eviction"},
}

# Kinds that are asked, never stored: (group, version, plural, kind, namespaced).
REVIEWS: tuple[tuple[str, str, str, str, bool], ...] = (
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False),
    ("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False),
    ("authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", True),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
    ("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False),
)
# A group whose newest version is served first, as Kubernetes orders versions: v1, v1beta1, v1alpha2, v1alpha1.
_STABILITY = {"": 3, "beta": 2, "alpha": 1}


def version_rank(version: str) -> tuple[int, int, int]:
    """A sort key: the higher, the more preferred."""
    digits = version.removeprefix("v")
    for stability in ("beta", "alpha"):
        major, found, minor = digits.partition(stability)
        if found and major.isdigit() and minor.isdigit():
            return (_STABILITY[stability], int(major), int(minor))
    return (_STABILITY[""], int(digits), 0) if digits.isdigit() else (0, 0, 0)


class Discovery:
    """The documents, made from the registry as it is now."""

    def __init__(self, registry: ResourceRegistry) -> None:
        self._registry = registry

    def groups(self) -> dict[str, list[str]]:
        """The versions of each named group, the preferred one first; groups in the order of registration."""
        found: dict[str, dict[str, None]] = {}
        for resource_type in self._registry.all():
            if resource_type.group:
                found.setdefault(resource_type.group, {})[resource_type.version] = None
        for group, version, *_ in REVIEWS:
            found.setdefault(group, {})[version] = None
        return {group: sorted(versions, key=version_rank, reverse=True) for group, versions in found.items()}

    def api_versions(self) -> JsonObject:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}

    def group_list(self) -> JsonObject:
        groups = [self._group(group, versions) for group, versions in self.groups().items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, group: str) -> JsonObject | None:
        versions = self.groups().get(group)
        return None if versions is None else {"apiVersion": "v1", **self._group(group, versions)}

    def resource_list(self, group: str, version: str) -> JsonObject | None:
        """The APIResourceList of one group version; None when there is none."""
        resources: list[JsonObject] = []
        for resource_type in self._types(group, version):
            resources.extend(_legacy(resource_type))
        for _, _, plural, kind, namespaced in _reviews(group, version):
            entry = {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind}
            resources.append({**entry, "verbs": ["create"]})
        if not resources:
            return None
        group_version = f"{group}/{version}" if group else version
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": resources,
        }

    def aggregated(self, *, core: bool, version: str) -> JsonObject:
        """The APIGroupDiscoveryList of /api (the core group) or of /apis."""
        items = []
        for group, versions in ({"": ["v1"]} if core else self.groups()).items():
            served = [self._aggregated_version(group, each) for each in versions]
            metadata = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
            items.append({"metadata": metadata, "versions": served})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }

    def _types(self, group: str, version: str) -> list[ResourceType]:
        return [each for each in self._registry.all() if (each.group, each.version) == (group, version)]

    def _group(self, group: str, versions: list[str]) -> JsonObject:
        entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
        return {"kind": "APIGroup", "name": group, "versions": entries, "preferredVersion": entries[0]}

    def _aggregated_version(self, group: str, version: str) -> JsonObject:
        resources = [_aggregated(each) for each in self._types(group, version)]
        for _, _, plural, kind, namespaced in _reviews(group, version):
            resources.append(
                {
                    "resource": plural,
                    "responseKind": {"group": group, "version": version, "kind": kind},
                    "scope": "Namespaced" if namespaced else "Cluster",
                    "singularResource": kind.lower(),
                    "verbs": ["create"],
                }
            )
        return {"version": version, "resources": resources, "freshness": "Current"}


def subresources_of(resource_type: ResourceType) -> tuple[str, ...]:
    """The subresources that are served over HTTP: a pod's log too, which is no object."""
    logs = ("log",) if (resource_type.group, resource_type.plural) == ("", "pods") else ()
    return tuple(dict.fromkeys((*resource_type.subresources, *logs)))


def _reviews(group: str, version: str) -> list[tuple[str, str, str, str, bool]]:
    return [review for review in REVIEWS if review[:2] == (group, version)]


def _legacy(resource_type: ResourceType) -> list[JsonObject]:
    entry: JsonObject = {
        "name": resource_type.plural,
        "singularName": resource_type.singular or resource_type.kind.lower(),
        "namespaced": resource_type.namespaced,
        "kind": resource_type.kind,
        "verbs": sorted(_READ_VERBS + _WRITE_VERBS),
    }
    if resource_type.short_names:
        entry["shortNames"] = list(resource_type.short_names)
    if resource_type.categories:
        entry["categories"] = list(resource_type.categories)
    subresources = [
        {
            "name": f"{resource_type.plural}/{name}",
            "singularName": "",
            "namespaced": resource_type.namespaced,
            "kind": _SUBRESOURCE_KINDS.get(name, {}).get("kind", resource_type.kind),
            "verbs": _SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"]),
        }
        for name in subresources_of(resource_type)
    ]
    return [entry, *subresources]


def _aggregated(resource_type: ResourceType) -> JsonObject:
    response_kind = {"group": resource_type.group, "version": resource_type.version, "kind": resource_type.kind}
    entry: JsonObject = {
        "resource": resource_type.plural,
        "responseKind": response_kind,
        "scope": "Namespaced" if resource_type.namespaced else "Cluster",
        "singularResource": resource_type.singular or resource_type.kind.lower(),
        "verbs": sorted(_READ_VERBS + _WRITE_VERBS),
    }
    if resource_type.short_names:
        entry["shortNames"] = list(resource_type.short_names)
    if resource_type.categories:
        entry["categories"] = list(resource_type.categories)
    subresources = [
        {
            "subresource": name,
            "responseKind": _SUBRESOURCE_KINDS.get(name, response_kind),
            "verbs": _SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"]),
        }
        for name in subresources_of(resource_type)
    ]
    if subresources:
        entry["subresources"] = subresources
    return entry
