"""GitHub's API for what no provider does: the content of repositories, in few calls and without losing anyone's work.

`connect` gives the client, `seed` brings a tree of files to a repository. The only place that talks to GitHub itself.
"""

from fleet.github.connection import App, Auth, Token, api_of, connect, read_auth
from fleet.github.faults import GitHubError
from fleet.github.repository import Author, Repository
from fleet.github.seeding import Outcome, plan, seed

__all__ = [
    "App",
    "Auth",
    "Author",
    "GitHubError",
    "Outcome",
    "Repository",
    "Token",
    "api_of",
    "connect",
    "plan",
    "read_auth",
    "seed",
]
