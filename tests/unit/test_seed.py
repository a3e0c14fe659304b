"""What seeding does to a repository on GitHub: one commit at first, then pull requests that lose nobody's work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet.github import Author, GitHubError
from fleet.github.marks import BOT_BRANCH, MARKER, SEED_REF, read_marker
from fleet.github.trees import hash_tree, tree_of
from tests.github_double import GitHubDouble, serve
from tests.github_double.git import Item, Person
from tests.github_double.repository import Repository
from tests.github_double.seeder import FILES, NEXT, Seeder

pytestmark = pytest.mark.github

LOOK = "POST /graphql"
REPO = "/repos/acme/fleet"


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    with serve() as github:
        yield github


@pytest.fixture
def seeder(github: GitHubDouble) -> Seeder:
    """Of a repository as GitHub makes it with `auto_init`."""
    return Seeder(github)


@pytest.fixture
def seeded(seeder: Seeder) -> Seeder:
    seeder.seed(FILES)
    return seeder


@pytest.fixture
def repository(seeded: Seeder) -> Repository:
    """That of `seeded`."""
    return seeded.repository


def rendered(repository: Repository, branch: str = "main") -> dict[str, bytes]:
    """What a branch holds besides the marker."""
    return {path: content for path, content in repository.files(branch).items() if path != MARKER}


def marker(repository: Repository, branch: str = "main") -> str | None:
    return read_marker(repository.files(branch)[MARKER].decode())


# --- the first time --------------------------------------------------------------------------------------------------
def test_an_empty_repository(github: GitHubDouble) -> None:
    seeder = Seeder(github, auto_init=False)
    outcome = seeder.seed(FILES)
    assert (outcome.action, outcome.commit) == ("seeded", seeder.repository.head())
    assert rendered(seeder.repository) == FILES
    assert seeder.made == [
        LOOK,
        f"PUT {REPO}/contents/{MARKER}",
        f"POST {REPO}/git/trees",
        f"POST {REPO}/git/commits",
        f"POST {REPO}/git/refs",
        f"POST {REPO}/git/trees",
        f"POST {REPO}/git/commits",
        f"PATCH {REPO}/git/refs/heads/main",
    ]


def test_a_new_repository(seeder: Seeder) -> None:
    """One commit on top of GitHub's own; its README is replaced, its licence stays."""
    first = seeder.repository.commit({"LICENSE": b"Apache\n"}, message="Initial commit")
    seeder.repository.git.refs["refs/heads/main"] = first
    root = seeder.repository.git.commit(first)
    orphan = seeder.repository.git.put_commit(root.tree, [], "Initial commit", Person())
    seeder.repository.git.refs["refs/heads/main"] = orphan
    assert seeder.seed(FILES).action == "seeded"
    assert rendered(seeder.repository) == FILES | {"LICENSE": b"Apache\n"}
    assert seeder.repository.git.commit(seeder.repository.head()).parents == (orphan,)
    assert len(seeder.made) == 7


@pytest.mark.parametrize("count", [5, 3000])
@pytest.mark.parametrize("auto_init", [True, False])
def test_eight_calls_for_any_number_of_files(github: GitHubDouble, count: int, auto_init: bool) -> None:
    files = {f"d{number % 50}/f{number}.yaml": b"n: %d\n" % number for number in range(count)}
    seeder = Seeder(github, auto_init=auto_init)
    assert seeder.seed(files).action == "seeded"
    assert len(seeder.made) <= 8
    assert len(rendered(seeder.repository)) == count + auto_init


def test_modes(repository: Repository) -> None:
    modes = {path: item.mode for path, item in repository.entries().items()}
    assert modes["scripts/release.sh"] == "100755"
    assert modes["clusters/prod.yaml"] == "100644"


def test_the_marker_names_what_is_rendered_and_is_kept_alive(repository: Repository) -> None:
    """Without the ref, Git could forget the tree that the marker names: no branch shows it."""
    expected = hash_tree(tree_of(FILES))
    assert marker(repository) == expected
    assert repository.git.commit(repository.git.refs[SEED_REF]).tree == expected


def test_the_second_run_only_looks(seeded: Seeder) -> None:
    refs = dict(seeded.repository.git.refs)
    assert seeded.seed(FILES).action == "unchanged"
    assert seeded.made == [LOOK]
    assert seeded.repository.git.refs == refs


def test_people_may_work_on_what_was_seeded(seeded: Seeder) -> None:
    seeded.repository.commit({"clusters/prod.yaml": b"mine\n", "scripts/release.sh": None, "mine": b"mine\n"})
    assert seeded.seed(FILES).action == "unchanged"
    assert seeded.made == [LOOK]


@pytest.mark.parametrize("author", [None, Author(name="fleet", email="fleet@example.com")])
def test_commits_are_by_whom_they_should_be(seeder: Seeder, author: Author | None) -> None:
    """Without an author GitHub takes the credential's, and signs for an App."""
    seeder.author = author
    seeder.seed(FILES)
    sent = [call for call in seeder.github.calls if call.path.endswith("/git/commits")]
    assert all((b'"author"' in call.body) is (author is not None) for call in sent)
    commit = seeder.repository.git.commit(seeder.repository.head())
    assert {commit.author.name, commit.committer.name} == {author.name if author else "bot"}


def test_a_repository_without_the_branch_is_told(github: GitHubDouble) -> None:
    seeder = Seeder(github, auto_init=False)
    seeder.repository.commit({"README.md": b""}, branch="master")
    with pytest.raises(GitHubError, match="acme/fleet: has no branch `main`"):
        seeder.seed(FILES)
    assert seeder.made == [LOOK]


def test_what_cannot_be_seeded_is_told_at_once(seeder: Seeder) -> None:
    with pytest.raises(GitHubError) as raised:
        seeder.seed({MARKER: b"x", "a": b"\xff", "b": b"\0"})
    assert [problem.path for problem in raised.value.problems] == [
        f"acme/fleet: `{path}`" for path in (MARKER, "a", "b")
    ]
    with pytest.raises(GitHubError, match="nothing is rendered"):
        seeder.seed({})
    assert seeder.made == []


@pytest.mark.parametrize("auto_init", [True, False])
def test_a_look_writes_nothing(github: GitHubDouble, auto_init: bool) -> None:
    seeder = Seeder(github, auto_init=auto_init)
    refs = dict(seeder.repository.git.refs)
    assert seeder.seed(FILES, only_look=True).action == "seeded"
    assert seeder.made == [LOOK]
    assert seeder.repository.git.refs == refs


# --- later changes ---------------------------------------------------------------------------------------------------
def test_a_change_is_proposed(seeded: Seeder, repository: Repository) -> None:
    main = repository.head()
    outcome = seeded.seed(NEXT)
    assert (outcome.action, outcome.kept, outcome.commit) == ("proposed", (), repository.head(BOT_BRANCH))
    assert repository.head() == main
    assert repository.git.commit(repository.head(BOT_BRANCH)).parents == (main,)
    assert rendered(repository, BOT_BRANCH) == NEXT
    assert marker(repository, BOT_BRANCH) == hash_tree(tree_of(NEXT))
    assert [(pull.state, pull.head, pull.base) for pull in repository.pulls.values()] == [("OPEN", BOT_BRANCH, "main")]
    assert outcome.pull_request == "https://github.com/acme/fleet/pull/1"
    assert len(seeded.made) == 10


def test_what_is_proposed_is_not_proposed_again(seeded: Seeder, repository: Repository) -> None:
    first = seeded.seed(NEXT)
    outcome = seeded.seed(NEXT)
    assert (outcome.action, outcome.commit, outcome.pull_request) == ("proposed", first.commit, first.pull_request)
    assert seeded.made == [LOOK]
    assert len(repository.pulls) == 1


def test_once_merged_it_is_unchanged(seeded: Seeder, repository: Repository) -> None:
    """The bot's branch goes, if GitHub has not deleted it by itself."""
    seeded.seed(NEXT)
    repository.merge(1)
    assert rendered(repository) == NEXT
    assert seeded.seed(NEXT).action == "unchanged"
    assert f"refs/heads/{BOT_BRANCH}" not in repository.git.refs
    assert seeded.seed(NEXT).action == "unchanged"
    assert seeded.made == [LOOK]


def test_a_proposal_is_updated_in_place(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    newer = NEXT | {"clusters/edge.yaml": b"b: 2\n"}
    outcome = seeded.seed(newer)
    assert (outcome.action, list(repository.pulls)) == ("proposed", [1])
    assert rendered(repository, BOT_BRANCH) == newer
    assert repository.git.commit(repository.head(BOT_BRANCH)).parents == (repository.head(),)
    assert (
        repository.git.commit(repository.pulls[1].sha).tree == repository.git.commit(repository.head(BOT_BRANCH)).tree
    )


def test_a_proposal_follows_main(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    repository.commit({"mine": b"mine\n"})
    seeded.seed(NEXT)
    assert list(repository.pulls) == [1]
    assert rendered(repository, BOT_BRANCH) == NEXT | {"mine": b"mine\n"}
    repository.merge(1)
    assert rendered(repository) == NEXT | {"mine": b"mine\n"}


def test_every_base_stays_alive(seeded: Seeder, repository: Repository) -> None:
    """Main took in the first tree; two were rendered since."""
    for content in (b"1\n", b"2\n"):
        seeded.seed(FILES | {"new": content})
    bases = [repository.git.commit(sha).tree for sha in repository.git.ancestry(repository.git.refs[SEED_REF])]
    assert sorted(bases) == sorted(hash_tree(tree_of(files)) for files in (
        FILES, FILES | {"new": b"1\n"}, FILES | {"new": b"2\n"}
    ))  # fmt: skip


def test_what_people_changed_is_kept(seeded: Seeder, repository: Repository) -> None:
    """Another line of the same file is merged; what they deleted stays away."""
    theirs = FILES["clusters/prod.yaml"].replace(b"line8: 8", b"line8: mine")
    repository.commit({"clusters/prod.yaml": theirs, "scripts/release.sh": None, "README.md": b"# Ours\n"})
    outcome = seeded.seed(NEXT)
    assert outcome.kept == ()
    assert rendered(repository, BOT_BRANCH) == {
        "README.md": b"# Ours\n",
        "clusters/prod.yaml": theirs.replace(b"line0: 0", b"line0: new"),
        "clusters/edge.yaml": b"b: 1\n",
    }


def test_a_conflict_is_told_and_left_to_people(seeded: Seeder, repository: Repository) -> None:
    theirs = FILES["clusters/prod.yaml"].replace(b"line0: 0", b"line0: mine")
    repository.commit({"clusters/prod.yaml": theirs, "clusters/staging.yaml": b"a: mine\n"})
    outcome = seeded.seed(NEXT)
    assert outcome.kept == ("clusters/prod.yaml", "clusters/staging.yaml")
    assert rendered(repository, BOT_BRANCH)["clusters/prod.yaml"] == theirs
    assert rendered(repository, BOT_BRANCH)["clusters/staging.yaml"] == b"a: mine\n"
    body = repository.pulls[1].body
    assert "`clusters/prod.yaml`: both changed the same lines" in body
    assert "  -line0: mine\n  +line0: new\n" in body
    assert "`clusters/staging.yaml`: it is no longer rendered, but was changed here" in body


def test_contents_are_read_together(seeded: Seeder, repository: Repository) -> None:
    """254 files that both changed: 508 contents, six queries, and nothing else more than for one file."""
    files = FILES | {f"f{number}": b"1\n2\n3\n%d\n" % number for number in range(250)}
    seeded.seed(files)
    repository.merge(1)
    repository.commit({path: b"mine\n" + content for path, content in files.items()})
    seeded.seed({path: content + b"ours\n" for path, content in files.items()})
    assert len(seeded.made) == 10 + 6
    assert repository.files(BOT_BRANCH)["f7"] == b"mine\n1\n2\n3\n7\nours\n"


def test_what_people_keep_in_binary_stays(seeded: Seeder, repository: Repository) -> None:
    repository.commit({"clusters/prod.yaml": b"\0\xff"})
    assert seeded.seed(NEXT).kept == ("clusters/prod.yaml",)
    assert repository.files(BOT_BRANCH)["clusters/prod.yaml"] == b"\0\xff"
    assert "both changed it, and it is not text" in repository.pulls[1].body


def test_links_and_submodules_of_people_survive(seeded: Seeder, repository: Repository) -> None:
    repository.commit({"link": b"README.md"}, mode="120000")
    files = {**repository.entries(), "module": Item(mode="160000", sha="1" * 40)}
    tree = repository.git.put_tree(files)
    commit = repository.git.put_commit(tree, [repository.head()], "Add a submodule", Person())
    repository.git.refs["refs/heads/main"] = commit
    seeded.seed(NEXT)
    entries = repository.entries(BOT_BRANCH)
    assert (entries["link"].mode, entries["module"].mode) == ("120000", "160000")


def test_a_renamed_file(seeded: Seeder, repository: Repository) -> None:
    seeded.seed({("moved/" + path if path == "README.md" else path): content for path, content in FILES.items()})
    assert rendered(repository, BOT_BRANCH).keys() == FILES.keys() - {"README.md"} | {"moved/README.md"}


def test_what_people_did_by_hand_is_proposed_as_taken_in(seeded: Seeder, repository: Repository) -> None:
    """Only the marker differs; without it the next merge would start from the wrong base."""
    repository.commit({path: NEXT.get(path) for path in FILES.keys() | NEXT.keys()})
    assert seeded.seed(NEXT).action == "proposed"
    changed = repository.files(BOT_BRANCH).items() ^ repository.files().items()
    assert {path for path, _ in changed} == {MARKER}


def test_what_was_kept_is_not_told_again(seeded: Seeder, repository: Repository) -> None:
    repository.commit({"clusters/prod.yaml": b"mine\n"})
    seeded.seed(NEXT)
    repository.merge(1)
    assert seeded.seed(NEXT).action == "unchanged"
    assert seeded.seed(NEXT | {"more": b"more\n"}).kept == ()
    assert repository.files(BOT_BRANCH)["clusters/prod.yaml"] == b"mine\n"


# --- taking over -----------------------------------------------------------------------------------------------------
def test_an_existing_repository_loses_nothing(github: GitHubDouble) -> None:
    seeder = Seeder(github)
    theirs = {"README.md": b"# Ours\n", "clusters/prod.yaml": b"mine\n", "src/main.go": b"package main\n"}
    head = seeder.repository.commit(theirs)
    outcome = seeder.seed(FILES)
    assert (outcome.action, outcome.kept) == ("proposed", ("README.md", "clusters/prod.yaml"))
    assert seeder.repository.head() == head
    assert rendered(seeder.repository, BOT_BRANCH) == FILES | theirs
    assert "fleet takes this repository over" in seeder.repository.pulls[1].body
    seeder.repository.merge(1)
    assert seeder.seed(FILES).action == "unchanged"


def test_a_readme_of_people_is_not_written_over(github: GitHubDouble) -> None:
    """It is all that there is, but GitHub's own commit is no longer the only one."""
    seeder = Seeder(github)
    seeder.repository.commit({"README.md": b"# Ours\n"})
    outcome = seeder.seed(FILES)
    assert (outcome.action, outcome.kept) == ("proposed", ("README.md",))


def test_a_single_commit_of_people_is_not_written_over(github: GitHubDouble) -> None:
    seeder = Seeder(github, auto_init=False)
    seeder.repository.commit({"README.md": b"# Ours\n", "main.go": b""})
    assert seeder.seed(FILES).action == "proposed"


def test_a_marker_deleted_by_hand_means_taking_over(seeded: Seeder, repository: Repository) -> None:
    repository.commit({MARKER: None, "README.md": b"# Ours\n"})
    outcome = seeded.seed(NEXT)
    assert outcome.kept == ("README.md", "clusters/prod.yaml")
    assert rendered(repository, BOT_BRANCH) == {**FILES, "README.md": b"# Ours\n", "clusters/edge.yaml": b"b: 1\n"}


def test_a_base_that_is_gone_means_taking_over(seeded: Seeder, repository: Repository) -> None:
    """A repository that was copied without its other refs."""
    del repository.git.refs[SEED_REF]
    del repository.git.objects[hash_tree(tree_of(FILES))]
    assert seeded.seed(NEXT).kept == ("clusters/prod.yaml",)
    assert any("is gone" in line for line in seeded.told)
    assert rendered(repository, BOT_BRANCH) == {**FILES, "clusters/edge.yaml": b"b: 1\n"}


# --- what people decide ----------------------------------------------------------------------------------------------
def test_a_refused_proposal_is_not_made_again(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    repository.close(1)
    outcome = seeded.seed(NEXT)
    assert (outcome.action, outcome.pull_request) == ("refused", "https://github.com/acme/fleet/pull/1")
    assert seeded.made == [LOOK]
    assert seeded.seed(NEXT | {"more": b"more\n"}).action == "proposed"
    assert [pull.state for pull in repository.pulls.values()] == ["CLOSED", "OPEN"]
    assert seeded.seed(NEXT | {"more": b"more\n"}).action == "proposed"
    assert seeded.made == [LOOK]


def test_a_refused_proposal_may_be_reopened(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    repository.close(1)
    repository.pulls[1].state = "OPEN"
    assert seeded.seed(NEXT).action == "proposed"
    assert seeded.made == [LOOK]


def test_a_proposal_is_withdrawn_when_it_is_not_rendered_any_more(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    outcome = seeded.seed(FILES)
    assert (outcome.action, repository.pulls[1].state) == ("withdrawn", "CLOSED")
    assert repository.pulls[1].body.startswith("Withdrawn: ")
    assert f"refs/heads/{BOT_BRANCH}" not in repository.git.refs
    assert seeded.seed(FILES).action == "unchanged"
    assert seeded.made == [LOOK]


def test_what_was_withdrawn_is_not_refused(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    seeded.seed(FILES)
    assert seeded.seed(NEXT).action == "proposed"
    assert repository.pulls[2].state == "OPEN"


def test_commits_of_people_on_the_bots_branch_are_left_alone(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    head = repository.commit({"clusters/edge.yaml": b"mended\n"}, branch=BOT_BRANCH)
    outcome = seeded.seed(NEXT | {"more": b"more\n"})
    assert (outcome.action, outcome.pull_request) == ("held", "https://github.com/acme/fleet/pull/1")
    assert BOT_BRANCH in outcome.message
    assert seeded.seed(FILES).action == "unchanged"
    assert (repository.head(BOT_BRANCH), repository.pulls[1].state) == (head, "OPEN")


def test_an_amended_commit_is_not_ours(seeded: Seeder, repository: Repository) -> None:
    """It keeps author and message, trailers and all."""
    seeded.seed(NEXT)
    ours = repository.git.commit(repository.head(BOT_BRANCH))
    tree = repository.git.put_tree({**repository.git.files(ours.tree), "README.md": Item(
        mode="100644", sha=repository.git.put("blob", b"amended\n"))})  # fmt: skip
    amended = repository.git.put_commit(tree, ours.parents, ours.message, ours.author)
    repository.git.refs[f"refs/heads/{BOT_BRANCH}"] = amended
    assert seeded.seed(NEXT | {"more": b"more\n"}).action == "held"
    assert repository.head(BOT_BRANCH) == amended


def test_a_branch_that_people_worked_on_is_free_once_merged(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    repository.commit({"clusters/edge.yaml": b"mended\n"}, branch=BOT_BRANCH)
    repository.merge(1)
    assert seeded.seed(NEXT | {"more": b"more\n"}).action == "proposed"
    assert rendered(repository, BOT_BRANCH) == NEXT | {"clusters/edge.yaml": b"mended\n", "more": b"more\n"}
    assert [pull.state for pull in repository.pulls.values()] == ["MERGED", "OPEN"]


def test_what_people_add_to_the_branch_after_the_merge_is_left_alone(seeded: Seeder, repository: Repository) -> None:
    seeded.seed(NEXT)
    repository.merge(1)
    head = repository.commit({"late": b"late\n"}, branch=BOT_BRANCH)
    assert seeded.seed(NEXT).action == "unchanged"
    assert seeded.seed(NEXT | {"more": b"more\n"}).action == "held"
    assert repository.head(BOT_BRANCH) == head


def test_a_proposal_that_people_reverted_is_made_again(seeded: Seeder, repository: Repository) -> None:
    """The marker is reverted with it. To refuse it for good they close the pull request."""
    before = dict(repository.files())
    seeded.seed(NEXT)
    repository.merge(1)
    repository.commit({path: before.get(path) for path in before.keys() | repository.files().keys()})
    assert seeded.seed(NEXT).action == "proposed"
    assert repository.pulls[2].state == "OPEN"


def test_a_pull_request_of_a_fork_is_not_ours(seeded: Seeder, repository: Repository) -> None:
    repository.fork_pull(BOT_BRANCH)
    assert seeded.seed(NEXT).action == "proposed"
    assert [(pull.cross_repository, pull.state) for pull in repository.pulls.values()] == [
        (True, "OPEN"),
        (False, "OPEN"),
    ]


def test_a_text_that_people_edited_is_brought_up_to_date_with_the_branch(
    seeded: Seeder, repository: Repository
) -> None:
    """The branch does not move for it: that would take approvals away."""
    head = seeded.seed(NEXT).commit
    repository.pulls[1].title, repository.pulls[1].body = "Ours", "Ours"
    seeded.seed(NEXT)
    assert repository.head(BOT_BRANCH) == head
    assert repository.pulls[1].title == "Ours"
    assert "What fleet renders" in repository.pulls[1].body


# --- protection ------------------------------------------------------------------------------------------------------
def test_a_protected_main_gets_a_proposal_from_the_start(seeder: Seeder) -> None:
    """A ruleset of the organisation can protect a repository before it is seeded."""
    seeder.repository.protected.add("main")
    head = seeder.repository.head()
    outcome = seeder.seed(FILES)
    assert (outcome.action, outcome.kept) == ("proposed", ())
    assert seeder.repository.head() == head
    assert rendered(seeder.repository, BOT_BRANCH) == FILES
    assert seeder.seed(FILES).action == "proposed"
    assert seeder.made == [LOOK]


def test_a_protected_empty_repository_is_told(github: GitHubDouble) -> None:
    seeder = Seeder(github, auto_init=False)
    seeder.repository.protected.add("main")
    with pytest.raises(GitHubError, match="Changes must be made through a pull request"):
        seeder.seed(FILES)
    assert seeder.repository.is_empty


def test_changes_of_a_protected_main_are_proposed(seeded: Seeder, repository: Repository) -> None:
    repository.protected.add("main")
    assert seeded.seed(NEXT).action == "proposed"
