"""The organisation, its teams, their members, and what they may do in repositories."""

from __future__ import annotations

from typing import Any, Final

from githubkit_schemas.latest import models

from tests.github_double.contract import example
from tests.github_double.organization import Organization, Team
from tests.github_double.repository import Refusal
from tests.github_double.routing import Answer, Handler, Request

ROLES: Final = {"pull": "read", "push": "write", "maintain": "maintain", "admin": "admin", "triage": "triage"}


def get_organization(request: Request) -> Answer:
    organization = _organization(request)
    plan = {"name": organization.plan, "space": 1, "private_repos": 1} if organization.plan else None
    about = {"login": organization.login, "id": organization.id, "type": "Organization"}
    found = example(models.OrganizationFull, **about)
    return 200, found | ({"plan": plan} if plan else {})


def create(request: Request) -> Answer:
    """Whoever makes a team maintains it."""
    organization, body = _organization(request), request.body
    keys = ("description", "privacy", "notification_setting")
    given = {key: body[key] for key in keys if body.get(key) is not None}
    team = organization.add_team(body["name"], parent=body.get("parent_team_id"), **given)
    team.members = dict.fromkeys(sorted(organization.owners)[:1], "maintainer")
    return 201, _team(organization, team)


def get(request: Request) -> Answer:
    organization = _organization(request)
    return 200, _team(organization, _named(request))


def update(request: Request) -> Answer:
    organization, team, body = _organization(request), _named(request), request.body
    team.name = body.get("name", team.name)
    for key in ("description", "privacy", "notification_setting"):
        if body.get(key) is not None:
            setattr(team, key, body[key])
    if "parent_team_id" in body:
        team.parent = body["parent_team_id"]
    return 200, _team(organization, team)


def delete(request: Request) -> Answer:
    del _organization(request).teams[_named(request).id]
    return 204, None


def list_members(request: Request) -> Answer:
    return 200, [_user(login) for login in _named(request).members]


def set_member(request: Request) -> Answer:
    """Owners of the organisation maintain every team that they are in."""
    organization, team = _organization(request), _named(request)
    login = organization.person(request.path["username"])
    role = "maintainer" if login in organization.owners else request.body.get("role", "member")
    team.members[login] = role
    return 200, example(models.TeamMembership, role=role, state="active")


def remove_member(request: Request) -> Answer:
    team, login = _named(request), _organization(request).person(request.path["username"])
    team.members.pop(login, None)
    return 204, None


def set_access(request: Request) -> Answer:
    _named(request).access[request.repository.id] = request.body.get("permission", "push")
    return 204, None


def get_access(request: Request) -> Answer:
    """A team without access is not found there."""
    repository, permission = request.repository, _named(request).access.get(request.repository.id)
    if permission is None:
        raise Refusal(404, "Not Found")
    given = {"id": repository.id, "name": repository.name, "full_name": repository.full_name}
    return 200, example(models.TeamRepository, **given, role_name=ROLES[permission])


def remove_access(request: Request) -> Answer:
    _named(request).access.pop(request.repository.id, None)
    return 204, None


HANDLERS: dict[str, Handler] = {
    "orgs/get": get_organization,
    "teams/create": create,
    "teams/get-by-name": get,
    "teams/update-in-org": update,
    "teams/delete-in-org": delete,
    "teams/list-members-in-org": list_members,
    "teams/add-or-update-membership-for-user-in-org": set_member,
    "teams/remove-membership-for-user-in-org": remove_member,
    "teams/add-or-update-repo-permissions-in-org": set_access,
    "teams/check-permissions-for-repo-in-org": get_access,
    "teams/remove-repo-in-org": remove_access,
}


def _organization(request: Request) -> Organization:
    organization = request.github.organization
    if request.path["org"].lower() != organization.login.lower():
        raise Refusal(404, "Not Found")
    return organization


def _named(request: Request) -> Team:
    return _organization(request).team(request.path["team_slug"])


def _team(organization: Organization, team: Team) -> dict[str, Any]:
    parent = organization.teams.get(team.parent or 0)
    about = {"id": team.id, "node_id": f"T_{team.id}", "name": team.name, "slug": team.slug}
    own = {"description": team.description, "privacy": team.privacy, "members_count": len(team.members)}
    found = example(models.TeamFull, **about, **own, notification_setting=team.notification_setting)
    keys = {"id": parent.id, "name": parent.name, "slug": parent.slug} if parent else {}
    return found | {"parent": example(models.TeamSimple, **keys) if parent else None}


def _user(login: str) -> dict[str, Any]:
    return example(models.TeamMember, login=login)
