"""The token of a GitHub App's installation."""

from __future__ import annotations

import jwt
from githubkit_schemas.latest import models

from tests.github_double.contract import example
from tests.github_double.repository import Refusal
from tests.github_double.routing import Answer, Handler, Request


def create_token(request: Request) -> Answer:
    """Takes what is signed by the App's key, as a real one is."""
    app = request.github.app
    try:
        claims = jwt.decode(request.credential, app.public_key, algorithms=["RS256"], issuer=app.id) if app else None
    except jwt.InvalidTokenError as error:
        raise Refusal(401, "A JSON web token could not be decoded") from error
    if app is None or claims is None or int(request.path["installation_id"]) != app.installation:
        raise Refusal(404, "Integration not found")
    return 201, example(models.InstallationToken, token=app.token, expires_at="2126-01-01T00:00:00Z")


HANDLERS: dict[str, Handler] = {"apps/create-installation-access-token": create_token}
