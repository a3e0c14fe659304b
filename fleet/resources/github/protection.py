"""What protects the branches and the release tags of a repository: rulesets, or classic rules for the branches.

Nobody passes by, administrators neither; only the bot does, where image automation commits to a branch. Tags are
protected by rulesets in any case: GitHub has no other protection for them any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

import pulumi

from fleet.model import Branch
from fleet.model.repository import BOTS, CHECK, PRODUCTION
from fleet.resources.github.site import Site
from fleet.resources.options import attached

if TYPE_CHECKING:
    import pulumi_github as github

    Actor = github.RepositoryRulesetBypassActorArgsDict
    Rules = github.RepositoryRulesetRulesArgsDict

ACTIONS: Final = 15368
"""Id of the App that reports what workflows say, on github.com; an Enterprise Server has an id of its own."""
OWNERS: Final[Actor] = {"actor_type": "OrganizationAdmin", "bypass_mode": "always"}
"""Without the id that GitHub documents: it reads as none, and would differ on every run."""
PEOPLES: Final = (
    "forcePushBypassers",
    "lockBranch",
    "requireConversationResolution",
    "requireSignedCommits",
    "restrictPushes",
)
"""What people may add to a classic rule; nothing of it weakens ours."""


def make(site: Site, made: github.Repository, depends_on: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
    """The rules of every branch, and of the release tags; the teams in `depends_on` may pass some of them."""
    classic = site.settings.fleet.github.protection == "classic"
    guard = _classic if classic else _branch
    branches = [guard(site, made, branch, depends_on) for branch in site.repository.branches]
    pattern = site.repository.release_tags
    return [*branches, *(_tags(site, made, pattern, depends_on) if pattern else [])]


def _branch(
    site: Site, made: github.Repository, branch: Branch, depends_on: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    actors = [_bot(site)] if branch.bot_pushes else []
    return _ruleset(site, made, "branch", branch.name, branch.name, _rules(site, branch), actors, depends_on)


def _rules(site: Site, branch: Branch) -> Rules:
    promoted = branch.name == PRODUCTION
    on_github = site.settings.fleet.github.url == "https://github.com"
    return {
        "deletion": True,
        "non_fast_forward": True,
        "required_linear_history": not promoted,
        "pull_request": {
            "required_approving_review_count": branch.reviews,
            "dismiss_stale_reviews_on_push": True,
            "require_code_owner_review": site.has_code_owners,
            "require_last_push_approval": branch.reviews > 0,
            "required_review_thread_resolution": False,
            "allowed_merge_methods": ["merge"] if promoted else ["squash", "rebase"],
        },
        "required_status_checks": {
            "required_checks": [{"context": CHECK, "integration_id": ACTIONS if on_github else 0}],
            "strict_required_status_checks_policy": False,
        },
    }


def _tags(
    site: Site, made: github.Repository, pattern: str, depends_on: Sequence[pulumi.Resource]
) -> list[pulumi.Resource]:
    """Production trusts these tags: none is ever moved or removed, and only people make them, never the bot or a
    workflow. Two rulesets, since who passes a ruleset passes all of it."""
    fixed: Rules = {"update": True, "deletion": True, "non_fast_forward": True}
    people = [_team(site, name) for name in site.repository.access if name != BOTS]
    return [
        _ruleset(site, made, "tag", "release-tags", pattern, fixed, [], depends_on),
        _ruleset(site, made, "tag", "releases", pattern, {"creation": True}, [*people, OWNERS], depends_on),
    ]


def _ruleset(
    site: Site,
    made: github.Repository,
    target: Literal["branch", "tag"],
    name: str,
    pattern: str,
    rules: Rules,
    actors: Sequence[Actor],
    depends_on: Sequence[pulumi.Resource],
) -> pulumi.Resource:
    """A ruleset without conditions is refused by GitHub, and not by a preview."""
    import pulumi_github as github

    title, own = f"fleet: {name}", f"ruleset-{name}"
    number = site.live.rulesets.get(title) if site.live else None
    identity = f"{site.repository.name}:{number}" if number else None
    folder = "heads" if target == "branch" else "tags"
    return github.RepositoryRuleset(
        site.scope.resource_name(own),
        repository=made.name,
        name=title,
        target=target,
        enforcement="active",
        conditions={"ref_name": {"includes": [f"refs/{folder}/{pattern}"], "excludes": []}},
        bypass_actors=list(actors),
        rules=rules,
        opts=attached(
            site.scope,
            made,
            identity=site.scope.taken_over(github.RepositoryRuleset, own, identity),
            depends_on=depends_on,
        ),
    )


def _team(site: Site, name: str) -> Actor:
    return {"actor_id": site.teams[name].id.apply(int), "actor_type": "Team", "bypass_mode": "always"}


def _bot(site: Site) -> Actor:
    """Whoever image automation signs in as, in the environment whose clusters run it."""
    fleet = site.settings.fleet
    if fleet.automating and fleet.environments[fleet.automating].auth == "app":
        app = site.settings.stack.github_apps["update"]
        return {"actor_id": app.id, "actor_type": "Integration", "bypass_mode": "always"}
    return _team(site, BOTS)


def _classic(
    site: Site, made: github.Repository, branch: Branch, depends_on: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """Nobody passes a required check here, so image automation cannot commit to such a branch."""
    import pulumi_github as github

    own, pattern = f"protection-{branch.name}", branch.name
    found = site.live is not None and pattern in site.live.protections
    identity = f"{site.repository.name}:{pattern}" if found else None
    reviews: github.BranchProtectionRequiredPullRequestReviewArgsDict = {
        "required_approving_review_count": branch.reviews,
        "dismiss_stale_reviews": True,
        "require_code_owner_reviews": site.has_code_owners,
        "require_last_push_approval": branch.reviews > 0,
    }
    return github.BranchProtection(
        site.scope.resource_name(own),
        repository_id=made.node_id,
        pattern=pattern,
        enforce_admins=True,
        allows_deletions=False,
        allows_force_pushes=False,
        required_linear_history=branch.name != PRODUCTION,
        required_pull_request_reviews=[reviews],
        required_status_checks=[{"strict": False, "contexts": [CHECK]}],
        opts=attached(
            site.scope,
            made,
            identity=site.scope.taken_over(github.BranchProtection, own, identity),
            left=PEOPLES,
            depends_on=depends_on,
        ),
    )
