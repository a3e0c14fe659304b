"""The one client of GitHub's API: who it is for GitHub, where it connects, how long it is patient.

Called by the CLI. Only here and in `repository` is githubkit used; it repeats requests after rate limits and server
errors, and `Patience` puts an end to that.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from fleet.errors import Problem
from fleet.github.faults import GitHubError

if TYPE_CHECKING:
    import httpx
    from githubkit import GitHub
    from githubkit.auth import BaseAuthStrategy
    from githubkit.exception import GitHubException
    from githubkit.typing import RetryOption

Progress = Callable[[str], None]

TOKEN: Final = "GITHUB_TOKEN"  # noqa: S105 a variable's name, not a token
APP: Final = ("GITHUB_APP_ID", "GITHUB_APP_INSTALLATION_ID", "GITHUB_APP_PRIVATE_KEY")
TIMEOUT: Final = 30.0
"""Seconds for one request; GitHub itself gives up after ten."""
PATIENCE: Final = 180.0
"""Seconds that a run waits at most, all waits together. A secondary limit passes within one or two minutes."""
ENTERPRISE_VERSION: Final = "2022-11-28"
"""The API version that every supported GitHub Enterprise Server knows; the operations used here did not change."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A personal access token, or one that a workflow got."""

    token: str = field(repr=False)
    source: str = TOKEN
    """The variable that it came from, for messages."""


@dataclass(frozen=True, kw_only=True)
class App:
    """An installation of a GitHub App."""

    id: str
    installation: int
    private_key: str = field(repr=False)
    source: str = APP[-1]


Auth = Token | App


def read_auth(environment: Mapping[str, str]) -> Auth:
    """Who we are for GitHub. Raises GitHubError that quotes no value."""
    token = environment.get(TOKEN, "").strip()
    app = {name: environment.get(name, "").strip() for name in APP}
    if token and any(app.values()):
        raise GitHubError([Problem(TOKEN, f"is set, and so is {APP[0]}", "set either a token or an App")])
    if not token and not any(app.values()):
        raise GitHubError([Problem(TOKEN, "is not set", f"set it to a token, or for an App {', '.join(APP)}")])
    problems = [*(_token_faults(token) if token else _app_faults(app))]
    if problems:
        raise GitHubError(problems)
    if token:
        return Token(token=token)
    return App(id=app[APP[0]], installation=int(app[APP[1]]), private_key=app[APP[2]])


def _token_faults(token: str) -> Iterator[Problem]:
    """An HTTP client quotes a header that it cannot send, so such a token must not get that far."""
    if not re.fullmatch(r"[!-~]+", token):
        yield Problem(TOKEN, "holds characters that no token has", "set it to the token alone, on one line")


def _app_faults(app: Mapping[str, str]) -> Iterator[Problem]:
    yield from (
        Problem(name, "is not set", f"an App needs {', '.join(APP)}") for name, value in app.items() if not value
    )
    identity, installation, key = app.values()
    for name, value in ((APP[0], identity), (APP[1], installation)):
        if value and not re.fullmatch(r"[0-9]+", value):
            yield Problem(name, "is not a number", "the settings page of the App shows it")
    if key and not key.startswith("-----BEGIN "):
        yield Problem(APP[2], "is not a private key in PEM", "give the text of the file that GitHub made, not its path")


def api_of(url: str) -> str:
    """Address of the API of a GitHub: github.com and ghe.com have a host for it, an Enterprise Server a path."""
    host = urlsplit(url).hostname or ""
    if host == "github.com" or host.endswith(".ghe.com"):
        return f"https://api.{host}"
    return f"{url.rstrip('/')}/api/v3"


@contextmanager
def connect(auth: Auth, api: str, *, progress: Progress, patience: float = PATIENCE) -> Iterator[GitHub[Any]]:
    """The client of one run, closed afterwards. Raises GitHubError for an address that would give the token away."""
    from githubkit import GitHub
    from githubkit.cache import MemCacheStrategy
    from githubkit.log import logger

    local = _is_loopback(api)
    if urlsplit(api).scheme != "https" and not local:
        raise GitHubError([Problem(f"`{api}`", "is not https: the token would travel in clear", "use https")])
    logger.disabled = True  # it logs each retry with a traceback; `Patience` tells it in one line
    with GitHub(
        _strategy(auth),
        base_url=api,
        user_agent="fleet",
        timeout=TIMEOUT,
        trust_env=not local,
        event_hooks={"request": [_use_enterprise_version]} if api.endswith("/api/v3") else None,
        http_cache=False,
        cache_strategy=MemCacheStrategy(),  # holds the token of an App; githubkit's own outlives the client
        auto_retry=Patience(patience, progress),
    ) as github:
        yield github


class Patience:
    """githubkit's own decision whether to repeat a request, until all waits together exceed `limit` seconds."""

    def __init__(self, limit: float, progress: Progress) -> None:
        from githubkit.retry import RetryChainDecision, RetryRateLimit, RetryServerError

        self._decide = RetryChainDecision(RetryRateLimit(max_retry=5), RetryServerError(max_retry=3))
        self._left = timedelta(seconds=limit)
        self._progress = progress

    def __call__(self, error: GitHubException, count: int) -> RetryOption:
        from githubkit.typing import RetryOption

        option = self._decide(error, count)
        wait = max(option.retry_after or timedelta(), timedelta(seconds=1))  # githubkit takes zero for a minute
        if not option.do_retry or wait > self._left:
            return RetryOption(do_retry=False)
        self._left -= wait
        self._progress(f"GitHub asks for patience: next try in {wait.total_seconds():.0f} s")
        return RetryOption(do_retry=True, retry_after=wait)


def _strategy(auth: Auth) -> BaseAuthStrategy:
    from githubkit.auth import AppInstallationAuthStrategy, TokenAuthStrategy

    if isinstance(auth, Token):
        return TokenAuthStrategy(auth.token)
    return AppInstallationAuthStrategy(auth.id, auth.private_key, auth.installation)


def _use_enterprise_version(request: httpx.Request) -> None:
    if "X-GitHub-Api-Version" in request.headers:
        request.headers["X-GitHub-Api-Version"] = ENTERPRISE_VERSION


def _is_loopback(address: str) -> bool:
    """Such an address needs no proxy and no encryption."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
