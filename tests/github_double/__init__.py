"""A double of GitHub: a server on loopback that keeps real Git objects and answers as GitHub's API does.

What makes it more than a mock: objects have Git's own names; each request and answer is checked against GitHub's
description of its API (`contract`, `graphql_api`), and a fault there fails the test that caused it; faults of the
network and of GitHub can be injected (`faults`).

    with serve() as github:
        github.create("acme", "fleet")
        ...  # a client of github.url, or of an Enterprise Server at github.url + "/api/v3"

A family of the API is a module with a table `HANDLERS`, which `server` collects. Left out on purpose: permissions of
single users, pagination, and all else that no test asks for. What GitHub's documentation does not fix is marked (D).
"""

from tests.github_double.faults import Fault
from tests.github_double.git import Person
from tests.github_double.repository import Repository
from tests.github_double.server import TOKEN, App, Call, GitHubDouble, serve

__all__ = ["TOKEN", "App", "Call", "Fault", "GitHubDouble", "Person", "Repository", "serve"]
