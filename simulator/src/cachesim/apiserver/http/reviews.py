"""Who is asking, and the reviews about it: every user that has a token may do everything."""

from __future__ import annotations

from collections.abc import Mapping

from cachecore.errors import ApiError, Forbidden
from cachesim.apiserver.errors import bad_request
from cachesim.apiserver.http.discovery import REVIEWS
from cachesim.apiserver.resources import JsonObject

ADMIN = "admin"
_GROUPS = ["system:masters", "system:authenticated"]


class Authenticator:
    """Static bearer tokens. Without any token everybody is the admin: for servers inside one test."""

    def __init__(self, users_by_token: Mapping[str, str] | None) -> None:
        self._users = dict(users_by_token) if users_by_token else None

    def user(self, authorization: str) -> str:
        """Raises a 401."""
        if self._users is None:
            return ADMIN
        scheme, _, token = authorization.partition(" ")
        user = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def user_of_token(self, token: str) -> str | None:
        return ADMIN if self._users is None else self._users.get(token)


def unauthorized() -> ApiError:
    return Forbidden("Unauthorized", status_code=401, reason="Unauthorized")


def user_info(user: str) -> JsonObject:
    return {"username": user, "uid": user, "groups": _GROUPS}


def review_kind(group: str, version: str, plural: str) -> str:
    """The kind of review that a POST to that collection asks for; "" when it is none."""
    return next((kind for *found, kind, _ in REVIEWS if tuple(found) == (group, version, plural)), "")


def answer_review(kind: str, body: JsonObject, user: str, authenticator: Authenticator) -> JsonObject:
    """The review with its status filled in."""
    group = "authentication.k8s.io" if kind in ("SelfSubjectReview", "TokenReview") else "authorization.k8s.io"
    answer: JsonObject = {**body, "kind": kind, "apiVersion": f"{group}/v1"}
    answer.setdefault("metadata", {"creationTimestamp": None})
    if kind == "SelfSubjectReview":
        answer["status"] = {"userInfo": user_info(user)}
    elif kind == "TokenReview":
        token = (body.get("spec") or {}).get("token")
        if not token:
            raise bad_request("TokenReview: spec.token: Required value")
        owner = authenticator.user_of_token(str(token))
        answer["status"] = {"authenticated": owner is not None, **({"user": user_info(owner)} if owner else {})}
    elif kind == "SelfSubjectRulesReview":
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        urls = {"verbs": ["*"], "nonResourceURLs": ["*"]}
        answer["status"] = {"resourceRules": [everything], "nonResourceRules": [urls], "incomplete": False}
    else:
        answer["status"] = {"allowed": True, "reason": "every user of this server may do everything"}
    return answer
