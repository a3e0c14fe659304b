"""GraphQL that `repository` sends; tests check it against GitHub's schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LOOK: Final = """
query Look(
  $owner: String!, $name: String!, $main: String!, $marker: String!,
  $bot: String!, $seed: String!, $base: String!, $head: String!
) {
  repository(owner: $owner, name: $name) {
    id
    isEmpty
    main: ref(qualifiedName: $main) {
      target { ...Head ... on Commit { tree { entries { name mode oid } } } }
    }
    bot: ref(qualifiedName: $bot) { target { ...Head } }
    seed: ref(qualifiedName: $seed) { target { ...Head } }
    marker: object(expression: $marker) { ... on Blob { text } }
    pullRequests(
      baseRefName: $base, headRefName: $head, first: 20, orderBy: {field: CREATED_AT, direction: DESC}
    ) {
      nodes {
        number url state body isCrossRepository headRefOid
        commits(last: 1) { nodes { commit { message } } }
      }
    }
  }
}
fragment Head on Commit {
  oid
  message
  tree { oid }
  parents(first: 2) { nodes { oid } }
}
"""
"""All that a run must know to decide. Whoever forked the repository can have pull requests of the same name."""

REPLACE: Final = """
mutation Replace($repository: ID!, $name: GitRefname!, $before: GitObjectID!, $after: GitObjectID!) {
  updateRefs(input: {
    repositoryId: $repository,
    refUpdates: [{name: $name, beforeOid: $before, afterOid: $after, force: true}]
  }) { clientMutationId }
}
"""
"""Compare and swap, which REST lacks: what people push at the same moment is not overwritten. Zeros delete."""


def contents(shas: Iterable[str]) -> str:
    """Reads any number of contents, each under an alias made of its own name."""
    fields = "\n".join(f'    sha{sha}: object(oid: "{sha}") {{ ... on Blob {{ text }} }}' for sha in shas)
    return (
        "query Contents($owner: String!, $name: String!) {\n"
        f"  repository(owner: $owner, name: $name) {{\n{fields}\n  }}\n}}\n"
    )
