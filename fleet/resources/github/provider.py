"""How the program signs in to GitHub: the explicit provider, and the same credential for the command that seeds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pulumi

from fleet.config import Settings
from fleet.errors import Problem
from fleet.github.connection import APP, TOKEN, Auth, read_auth
from fleet.github.faults import GitHubError
from fleet.github.requirements import PreflightError
from fleet.model import Credential, credentials_of, stack_file
from fleet.model.github import Use


def find_credential(settings: Settings, use: Use) -> Credential | None:
    """The stack's credential for a use, if it has one."""
    found = credentials_of(settings.fleet, settings.stack.environment, pulumi.get_stack())
    return next((credential for credential in found if credential.name == use), None)


def credential(settings: Settings, use: Use) -> Credential:
    """The stack's credential for a use that it surely has."""
    found = find_credential(settings, use)
    assert found is not None, use
    return found


async def sign_in(settings: Settings, used: Credential) -> Auth:
    """The credential in clear: it goes to GitHub and nowhere else. Raises PreflightError when it is none."""
    value = str(await settings.secrets[used.key].future())
    app = settings.stack.github_apps["github"] if used.auth == "app" else None
    given = dict(zip(APP, (str(app.id), str(app.installation), value), strict=True)) if app else {TOKEN: value}
    source = f"{stack_file(pulumi.get_stack())}.{used.key}"
    try:
        return replace(read_auth(given), source=source)
    except GitHubError as error:
        raise PreflightError(Problem(source, told.message, told.hint) for told in error.problems) from None


def provider(settings: Settings, opts: pulumi.ResourceOptions, *, reached: bool) -> pulumi.ProviderResource:
    """The provider of everything on GitHub. A token in the environment must not become an argument beside an App.

    Where GitHub was not `reached`, the credential counts as unknown: so the provider plans without asking GitHub.
    """
    import pulumi_github as github

    signing_in = credential(settings, "github")
    unknown: pulumi.Output[Any] = pulumi.Output.secret(pulumi.UNKNOWN)
    secret = settings.secrets[signing_in.key] if reached else unknown
    token: pulumi.Input[str] = secret
    app_auth: github.ProviderAppAuthArgs | None = None
    if signing_in.auth == "app":
        app = settings.stack.github_apps["github"]
        # As an object: the SDK leaves the names in a dict as they are, and the provider does not know those.
        token = ""
        app_auth = github.ProviderAppAuthArgs(id=str(app.id), installation_id=str(app.installation), pem_file=secret)
    return github.Provider(
        "github",
        owner=settings.fleet.owner,
        base_url=settings.fleet.github.url,
        token=token,
        app_auth=app_auth,
        # The newer client repeats a write without its body after a secondary rate limit. This one repeats it whole, and
        # without its delay and its one-at-a-time is as quick.
        legacy_client=True,
        parallel_requests=True,
        write_delay_ms=0,
        opts=opts,
    )


def environment(settings: Settings) -> dict[str, pulumi.Input[str]]:
    """Variables by which a command signs in; those that it must not use are empty, wherever it is started."""
    signing_in = credential(settings, "github")
    secret = settings.secrets[signing_in.key]
    if signing_in.auth == "token":
        return {TOKEN: secret, **dict.fromkeys(APP, "")}
    app = settings.stack.github_apps["github"]
    return {TOKEN: "", **dict(zip(APP, (str(app.id), str(app.installation), secret), strict=True))}
