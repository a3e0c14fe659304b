"""Rulesets, and GitHub environments with what is in them."""

from __future__ import annotations

import base64
from typing import Any, Final

from githubkit_schemas.latest import models
from pydantic import BaseModel

from tests.github_double.contract import example
from tests.github_double.organization import Environment, Settings
from tests.github_double.repository import Refusal
from tests.github_double.rest_repositories import writable
from tests.github_double.routing import Answer, Handler, Request

KEY: Final = base64.b64encode(bytes(range(1, 33))).decode()
"""What secrets are encrypted with; nobody has the other half, so the double cannot read them."""
CREATED: Final = "2026-01-01T00:00:00Z"


# --- rulesets --------------------------------------------------------------------------------------------------------
def create_ruleset(request: Request) -> Answer:
    settings, number = _settings(request), next(request.github.organization.numbers)
    return 201, _put_ruleset(request, settings, number)


def get_ruleset(request: Request) -> Answer:
    return 200, _ruleset(request, _settings(request), _number(request, "ruleset_id"))


def update_ruleset(request: Request) -> Answer:
    settings, number = _settings(request), _number(request, "ruleset_id")
    _ruleset(request, settings, number)
    return 200, _put_ruleset(request, settings, number)


def delete_ruleset(request: Request) -> Answer:
    settings = _settings(request)
    del settings.rulesets[_ruleset(request, settings, _number(request, "ruleset_id"))["id"]]
    settings.protect(writable(request))
    return 204, None


def _put_ruleset(request: Request, settings: Settings, number: int) -> dict[str, Any]:
    body, repository = request.body, writable(request)
    others = (each["name"] for other, each in settings.rulesets.items() if other != number)
    if body["name"] in others:
        raise Refusal(
            422, "Validation Failed", [{"resource": "Ruleset", "code": "custom", "message": "Name must be unique"}]
        )
    if not (body.get("conditions") or {}).get("ref_name", {}).get("include"):
        raise Refusal(422, "Validation Failed", [{"resource": "Ruleset", "code": "custom", "message": "no conditions"}])
    for actor in body.get("bypass_actors") or []:
        if actor["actor_type"] == "Team" and actor["actor_id"] not in request.github.organization.teams:
            raise Refusal(
                422, "Validation Failed", [{"resource": "Actor", "code": "custom", "message": "no such team"}]
            )
    settings.rulesets[number] = {"bypass_actors": [], "rules": [], **body}
    settings.protect(repository)
    return _ruleset(request, settings, number)


def _ruleset(request: Request, settings: Settings, number: int) -> dict[str, Any]:
    if number not in settings.rulesets:
        raise Refusal(404, "Not Found")
    found = settings.rulesets[number]
    given = {key: found[key] for key in ("name", "target", "enforcement", "conditions", "rules", "bypass_actors")}
    about = {"source_type": "Repository", "source": request.repository.full_name, "node_id": f"RRS_{number}"}
    return example(models.RepositoryRuleset, id=number, **about, **given)


# --- environments ----------------------------------------------------------------------------------------------------
def put_environment(request: Request) -> Answer:
    """What is not given is not there any more, but for policies, secrets and variables."""
    settings, name = _settings(request), request.path["environment_name"]
    writable(request)
    number = next(request.github.organization.numbers)
    environment = settings.environments.setdefault(name, Environment(id=number, name=name))
    environment.rules = request.body
    return 200, _environment(environment, older=request.older)


def get_environment(request: Request) -> Answer:
    return 200, _environment(_named(request), older=request.older)


def delete_environment(request: Request) -> Answer:
    writable(request)
    del _settings(request).environments[_named(request).name]
    return 204, None


def _environment(environment: Environment, *, older: bool) -> dict[str, Any]:
    """`older` versions of the API tell whether administrators may pass (D: the description does not say so)."""
    rules = environment.rules
    found = example(models.Environment, id=environment.id, name=environment.name, node_id=f"EN_{environment.id}")
    protection: list[dict[str, Any]] = []
    if reviewers := rules.get("reviewers"):
        kinds: dict[str, type[BaseModel]] = {"Team": models.Team, "User": models.SimpleUser}
        named = [{"type": one["type"], "reviewer": example(kinds[one["type"]], id=one["id"])} for one in reviewers]
        about = {"id": 1, "node_id": "", "type": "required_reviewers", "prevent_self_review": False}
        protection.append(about | {"reviewers": named})
    if timer := rules.get("wait_timer"):
        protection.append({"id": 2, "node_id": "", "type": "wait_timer", "wait_timer": timer})
    policy, bypass = rules.get("deployment_branch_policy"), rules.get("can_admins_bypass", True)
    given = {"protection_rules": protection, "deployment_branch_policy": policy}
    return found | given | ({"can_admins_bypass": bypass} if older else {})


# --- what is in an environment ---------------------------------------------------------------------------------------
def create_policy(request: Request) -> Answer:
    """A second one of the same pattern is answered with a redirection that leads nowhere (D)."""
    environment, body = _named(request), request.body
    if not (environment.rules.get("deployment_branch_policy") or {}).get("custom_branch_policies"):
        raise Refusal(404, "Not Found")
    given = {"name": body["name"], "type": body.get("type", "branch")}
    if given in environment.policies.values():
        return 303, None
    number = next(request.github.organization.numbers)
    environment.policies[number] = given
    return 200, _policy(environment, number)


def list_policies(request: Request) -> Answer:
    environment = _named(request)
    found = [_policy(environment, number) for number in environment.policies]
    return 200, {"total_count": len(found), "branch_policies": found}


def get_policy(request: Request) -> Answer:
    return 200, _policy(_named(request), _number(request, "branch_policy_id"))


def update_policy(request: Request) -> Answer:
    environment, number = _named(request), _number(request, "branch_policy_id")
    _policy(environment, number)
    environment.policies[number] |= {"name": request.body["name"]}
    return 200, _policy(environment, number)


def delete_policy(request: Request) -> Answer:
    environment, number = _named(request), _number(request, "branch_policy_id")
    _policy(environment, number)
    del environment.policies[number]
    return 204, None


def _policy(environment: Environment, number: int) -> dict[str, Any]:
    if number not in environment.policies:
        raise Refusal(404, "Not Found")
    return example(models.DeploymentBranchPolicy, id=number, node_id="", **environment.policies[number])


def get_key(request: Request) -> Answer:
    _named(request)
    return 200, example(models.ActionsPublicKey, key_id="1", key=KEY)


def put_secret(request: Request) -> Answer:
    environment, name = _named(request), request.path["secret_name"].upper()
    known = name in environment.secrets
    stamp = f"2026-01-01T00:00:{len(request.github.calls) % 60:02}Z"
    environment.secrets[name] = {"value": request.body["encrypted_value"], "updated_at": stamp}
    return (204, None) if known else (201, {})


def get_secret(request: Request) -> Answer:
    found = _named(request).secrets.get(request.path["secret_name"].upper())
    if found is None:
        raise Refusal(404, "Not Found")
    name = request.path["secret_name"].upper()
    return 200, {"name": name, "created_at": CREATED, "updated_at": found["updated_at"]}


def delete_secret(request: Request) -> Answer:
    writable(request)
    del _named(request).secrets[request.path["secret_name"].upper()]
    return 204, None


def create_variable(request: Request) -> Answer:
    environment, name = _named(request), request.body["name"].upper()
    if name in environment.variables:
        raise Refusal(409, "Already exists")
    environment.variables[name] = request.body["value"]
    return 201, {}


def list_variables(request: Request) -> Answer:
    environment = _named(request)
    found = [_variable(environment, name) for name in environment.variables]
    return 200, {"total_count": len(found), "variables": found}


def get_variable(request: Request) -> Answer:
    return 200, _variable(_named(request), request.path["name"].upper())


def update_variable(request: Request) -> Answer:
    environment, name = _named(request), request.path["name"].upper()
    _variable(environment, name)
    environment.variables[name] = request.body["value"]
    return 204, None


def delete_variable(request: Request) -> Answer:
    environment, name = _named(request), request.path["name"].upper()
    writable(request)
    _variable(environment, name)
    del environment.variables[name]
    return 204, None


def _variable(environment: Environment, name: str) -> dict[str, Any]:
    if name not in environment.variables:
        raise Refusal(404, "Not Found")
    return {"name": name, "value": environment.variables[name], "created_at": CREATED, "updated_at": CREATED}


HANDLERS: dict[str, Handler] = {
    "repos/create-repo-ruleset": create_ruleset,
    "repos/get-repo-ruleset": get_ruleset,
    "repos/update-repo-ruleset": update_ruleset,
    "repos/delete-repo-ruleset": delete_ruleset,
    "repos/create-or-update-environment": put_environment,
    "repos/get-environment": get_environment,
    "repos/delete-an-environment": delete_environment,
    "repos/create-deployment-branch-policy": create_policy,
    "repos/list-deployment-branch-policies": list_policies,
    "repos/get-deployment-branch-policy": get_policy,
    "repos/update-deployment-branch-policy": update_policy,
    "repos/delete-deployment-branch-policy": delete_policy,
    "actions/get-environment-public-key": get_key,
    "actions/create-or-update-environment-secret": put_secret,
    "actions/get-environment-secret": get_secret,
    "actions/delete-environment-secret": delete_secret,
    "actions/create-environment-variable": create_variable,
    "actions/list-environment-variables": list_variables,
    "actions/get-environment-variable": get_variable,
    "actions/update-environment-variable": update_variable,
    "actions/delete-environment-variable": delete_variable,
}


def _settings(request: Request) -> Settings:
    return request.github.organization.settings_of(request.repository)


def _named(request: Request) -> Environment:
    found = _settings(request).environments.get(request.path["environment_name"])
    if found is None:
        raise Refusal(404, "Not Found")
    return found


def _number(request: Request, key: str) -> int:
    return int(request.path[key])
