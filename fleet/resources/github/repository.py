"""One repository and everything around it, each step after those that it needs.

repository → default branch, workflow permissions, environments → seed → production branch → access → protection →
credentials. Content comes before protection, which would refuse it; credentials come last, when main is protected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pulumi

from fleet.model.repository import MAIN, PRODUCTION
from fleet.resources.github import access, environments, protection, seed
from fleet.resources.github.site import Site
from fleet.resources.options import attached, children, precious

if TYPE_CHECKING:
    import pulumi_github as github

PEOPLES: Final = (
    "allowAutoMerge",
    "allowForking",
    "allowUpdateBranch",
    "autoInit",
    "description",
    "hasDiscussions",
    "hasDownloads",
    "hasIssues",
    "hasProjects",
    "hasWiki",
    "homepageUrl",
    "isTemplate",
    "mergeCommitMessage",
    "mergeCommitTitle",
    "pages",
    "securityAndAnalysis",
    "squashMergeCommitMessage",
    "squashMergeCommitTitle",
    "vulnerabilityAlerts",
    "webCommitSignoffRequired",
)
"""Settings of a repository that are people's own. The provider writes all settings with each change, and would reset
those that the program does not name."""


class FleetRepository(pulumi.ComponentResource):
    """A repository of the fleet on GitHub."""

    url: pulumi.Output[str]
    content: pulumi.Output[seed.Outcome]

    def __init__(self, name: str, site: Site) -> None:
        super().__init__("fleet:index:FleetRepository", name, opts=children(site.scope.parent))
        site = site.below(self)
        made = _repository(site)
        places = environments.make(site, made)
        ready = [_default_branch(site, made), _workflows(site, made), *places.values()]
        command = seed.command(site, made, ready)
        branches = _production(site, made, command)
        admitted = access.make(site, made, [command, *branches])
        guards = protection.make(site, made, admitted)
        environments.credentials(site, made, [*places.values(), *guards])
        self.url = made.html_url
        self.content = seed.outcome(command)
        self.register_outputs({"url": self.url})


def _repository(site: Site) -> github.Repository:
    """Topics that people have added stay. Merges to main keep its history linear, those to production are merges:
    squashed promotions leave no common history, and the second one would conflict."""
    import pulumi_github as github

    repository, live, settings = site.repository, site.live, site.settings.fleet.github
    identity = site.scope.taken_over(github.Repository, "repository", repository.name if live else None)
    return github.Repository(
        site.scope.resource_name("repository"),
        name=repository.name,
        description=repository.description,
        visibility=settings.visibility,
        topics=sorted({*repository.topics, *(live.topics if live else ())}),
        auto_init=True,
        has_issues=True,
        has_projects=False,
        has_wiki=False,
        allow_squash_merge=True,
        allow_rebase_merge=True,
        allow_merge_commit=_promotes(site),
        delete_branch_on_merge=True,
        archive_on_destroy=settings.archive_on_destroy,
        opts=precious(site.scope, identity=identity, left=PEOPLES, archived=settings.archive_on_destroy),
    )


def _promotes(site: Site) -> bool:
    return any(branch.name == PRODUCTION for branch in site.repository.branches)


def _default_branch(site: Site, made: github.Repository) -> pulumi.Resource:
    """What GitHub named otherwise is renamed, so that open pull requests follow; unless there is a main beside it."""
    import pulumi_github as github

    beside = site.live is not None and MAIN in site.live.branches and site.live.default_branch != MAIN
    return github.BranchDefault(
        site.scope.resource_name("default-branch"),
        repository=made.name,
        branch=MAIN,
        rename=not beside,
        wait_for_rename=True,
        opts=attached(site.scope, made),
    )


def _workflows(site: Site, made: github.Repository) -> pulumi.Resource:
    """A workflow states what its token may do. GitHub knows one switch for opening pull requests and approving them."""
    import pulumi_github as github

    return github.WorkflowRepositoryPermissions(
        site.scope.resource_name("workflows"),
        repository=made.name,
        default_workflow_permissions="read",
        can_approve_pull_request_reviews=site.opens_pull_requests,
        opts=attached(site.scope, made),
    )


def _production(site: Site, made: github.Repository, command: pulumi.Resource) -> Sequence[pulumi.Resource]:
    """Begins where main stands; one that exists already is left where it is."""
    import pulumi_github as github

    if not _promotes(site):
        return []
    branch = github.Branch(
        site.scope.resource_name(PRODUCTION),
        repository=made.name,
        branch=PRODUCTION,
        source_branch=MAIN,
        opts=precious(site.scope, left=("sourceBranch", "sourceSha"), depends_on=[made, command]),
    )
    return [branch]
