"""What GitHub refuses, in the words of this program: every exception of the client becomes a FleetError here.

No message quotes a request, so none can quote a credential.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from fleet.errors import FleetError, Problem

if TYPE_CHECKING:
    from githubkit.exception import GraphQLFailed, RequestError, RequestFailed

PERMISSION_HINT: Final = (
    "the token needs write access to contents, pull requests and workflows of this repository "
    "(classic: scopes `repo` and `workflow`)"
)
NOT_FOUND_HINT: Final = (
    "check owner and name; GitHub also says this to a token that may not see the repository, or that may not write "
    "workflows: " + PERMISSION_HINT
)
AGAIN: Final = "run it again; what was done so far is harmless and is not done twice"


class GitHubError(FleetError):
    """GitHub did not answer, or refused; no work of people is touched."""

    title = "GitHub did not do what was asked, nothing is lost"


class NotFound(GitHubError):
    """It is not there, or not for this token."""


class Conflict(GitHubError):
    """GitHub may not be as it was when we looked: look again, then decide anew."""

    def __init__(self, problems: Iterable[Problem], *, refused: bool) -> None:
        self.refused = refused
        """GitHub said no. Otherwise its answer was lost, and what was asked may or may not be done."""
        super().__init__(problems)


def explain(error: Exception, place: str, credential: str, *, moves: bool) -> GitHubError:
    """What an exception of the client means. `credential` names the variable that the token came from.

    `moves`: what was asked depends on the state of a branch or pull request, so a refusal may be a matter of time.
    """
    from githubkit.exception import GitHubException, GraphQLFailed, RateLimitExceeded, RequestError, RequestFailed

    match error:
        case RateLimitExceeded():
            seconds = round(error.retry_after.total_seconds())
            return _tell(place, f"GitHub's rate limit is used up for another {seconds} s", f"wait, then {AGAIN}")
        case RequestFailed():
            return _explain_status(error, place, credential, moves=moves)
        case RequestError(exc=GitHubException() as cause):  # raised while the token of an App was asked for
            return explain(cause, place, credential, moves=moves)
        case RequestError():
            return _explain_transport(error, place, credential)
        case GraphQLFailed():
            return _explain_graphql(error, place, moves=moves)
    return _tell(place, "the client failed", type(error).__name__)


def _explain_status(error: RequestFailed, place: str, credential: str, *, moves: bool) -> GitHubError:
    status, said = error.response.status_code, _message(error)
    if status == 401:
        return _tell(
            f"`{credential}`", f"GitHub does not accept it: {said}", "it has expired or was revoked: set a new one"
        )
    if status == 403:
        if "rate limit" in said:  # a secondary limit need not say how long it lasts
            return _tell(place, said, f"wait a few minutes, then {AGAIN}")
        accepted = error.response.headers.get("x-accepted-github-permissions")
        return _tell(place, f"GitHub forbids it: {said}", f"it asks for: {accepted}" if accepted else PERMISSION_HINT)
    if status == 404:
        return NotFound([Problem(place, f"GitHub does not find it: {said}", NOT_FOUND_HINT)])
    if status in (409, 422) and moves:
        return Conflict([Problem(place, f"GitHub refuses: {said}", AGAIN)], refused=True)
    return _tell(place, f"GitHub answers {status}: {said}", AGAIN if status >= 500 else "")


def _explain_graphql(error: GraphQLFailed, place: str, *, moves: bool) -> GitHubError:
    faults = error.response.errors or []
    said = "; ".join(fault.message for fault in faults)
    kinds = {fault.type for fault in faults}
    if "NOT_FOUND" in kinds:
        return NotFound([Problem(place, f"GitHub does not find it: {said}", NOT_FOUND_HINT)])
    if kinds & {"FORBIDDEN", "INSUFFICIENT_SCOPES"}:
        return _tell(place, f"GitHub forbids it: {said}", PERMISSION_HINT)
    if moves:
        return Conflict([Problem(place, f"GitHub refuses: {said}", AGAIN)], refused=True)
    return _tell(place, f"GitHub refuses: {said}")


def _explain_transport(error: RequestError[Any], place: str, credential: str) -> GitHubError:
    import httpx

    cause = error.exc
    if isinstance(cause, (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)):
        return _tell(place, f"GitHub cannot be reached: {cause}", "check `github.url` in fleet.yaml, and the network")
    if isinstance(cause, httpx.TransportError):
        told = Problem(place, f"GitHub's answer was lost: {str(cause) or type(cause).__name__}", AGAIN)
        return Conflict([told], refused=False)
    return _tell(f"`{credential}`", "cannot be used", "it is not a token or key as GitHub gives them")


def _message(error: RequestFailed) -> str:
    """GitHub's own words, those on single fields included."""
    try:
        body = error.response.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict) or "message" not in body:
        return error.response.reason_phrase
    details = body.get("errors") or []
    told = [_detail(detail) for detail in details] if isinstance(details, list) else []
    return " – ".join([" ".join(str(body["message"]).split()), *told])


def _detail(detail: Any) -> str:
    if not isinstance(detail, dict):
        return str(detail)
    return str(detail.get("message") or " ".join(str(detail[key]) for key in ("field", "code") if key in detail))


def _tell(path: str, message: str, hint: str = "") -> GitHubError:
    return GitHubError([Problem(path, message, hint)])
