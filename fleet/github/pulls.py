"""A pull request from one branch to another, whoever pushed to it: asked for once, and found again afterwards.

Called by `fleet.resources` for what image automation pushed. The pull requests of seeded content are `seeding`'s.
"""

from __future__ import annotations

from fleet.github.repository import Repository


def propose(repository: Repository, head: str, title: str) -> str | None:
    """Address of the open pull request from `head` to the repository's branch, which is opened unless it is there.

    None where there is nothing to merge. Raises GitHubError.
    """
    if url := repository.find_pull(head):
        return url
    commits = repository.read_messages(head)
    if not commits:
        return None
    body = "\n".join(f"- {message.splitlines()[0]}" for message in commits if message)
    return repository.open_pull(title, body, head=head)[1]
