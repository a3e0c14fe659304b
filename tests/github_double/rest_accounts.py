"""Who somebody is: the user of a token, and the installation of an App."""

from __future__ import annotations

from githubkit_schemas.latest import models

from tests.github_double.contract import example
from tests.github_double.repository import Refusal
from tests.github_double.routing import Answer, Handler, Request


def get_user(request: Request) -> Answer:
    organization = request.github.organization
    first = next(iter(sorted(organization.owners)), "somebody")
    login = organization.tokens.get(request.credential, first)
    return 200, example(models.PublicUser, login=login, type="User")


def get_installation(request: Request) -> Answer:
    """The App signs this itself; the double takes any key for that (D)."""
    app, organization = request.github.app, request.github.organization
    if app is None or int(request.path["installation_id"]) != app.installation:
        raise Refusal(404, "Integration not found")
    found = example(
        models.Installation,
        id=app.installation,
        app_id=int(app.id),
        account=example(models.SimpleUser, login=organization.login, type="Organization"),
        permissions=organization.permissions,
    )
    return 200, found | ({"suspended_at": "2026-01-01T00:00:00Z"} if organization.suspended else {})


HANDLERS: dict[str, Handler] = {"users/get-authenticated": get_user, "apps/get-installation": get_installation}
