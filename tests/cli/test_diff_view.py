"""The diff on the screen, as release notes and as JSON; and what hostile commits cannot do there."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len

from liftlock.cli.diff_view import show_diff
from liftlock.cli.release_notes import escaped, release_notes
from liftlock.documents.diff import Addresses, diff_document
from liftlock.model import Between, Commit, Relation, Release, SiteVersion
from liftlock.planning.comparison import AppComparison, Comparison, Sizes
from tests.cli.screens import Screen
from tests.docs.pages import ROOT, code, rows
from tests.doubles import START, deployment, release

A, B, C = "a" * 40, "b" * 40, "c" * 40
COMMITS = (
    Commit(C, "Add priorities (#12)", "Ada", "ada", START, 12, (B,)),
    Commit(B, "Mend a typing error", "Grace", "", START, None, (A,)),
)
AHEAD = Between(Relation.AHEAD, (), 2, 0, COMMITS)
ADDRESSES = Addresses(
    lambda repository, sha: f"https://g.example/{repository}/commit/{sha[:7]}",
    lambda repository, number: f"https://g.example/{repository}/pull/{number}",
    {("example/services", "a".ljust(40, "0"), "c".ljust(40, "0")): "https://g.example/compare"},
)


def app(
    name: str, between: Between | None = AHEAD, old: str = "a", new: str = "c", **more: object
) -> AppComparison:
    source = deployment(name, "dev", release(name, new), 9) if new else None
    target = deployment(name, "production", release(name, old), 3) if old else None
    return AppComparison(name, "example/services", source, target, between, **more)  # type: ignore[arg-type]


def comparison(*apps: AppComparison) -> Comparison:
    return Comparison("observatory", "dev", "production", apps)


EVERYTHING = comparison(
    app(
        "ODB",
        sizes=Sizes(34_100_000, 34_300_000, 30_000_000),
        migrations=("odb/migrations/0003_priority.sql",),
    ),
    app("SSO"),
    app("ITC", old="c"),
    app("RESOURCE", new=""),
)


def images(name: str) -> str:
    old, new = (release(name, version).artifacts["web"].short for version in "ac")
    return f"{old} → {new}"


def screen(width: int, shown: Comparison) -> Screen:
    made = Screen(width)
    show_diff(made, shown, ADDRESSES, START + timedelta(days=2))
    return made


def test_apps_of_one_range_share_its_commits_and_the_others_are_a_line() -> None:
    assert screen(100, EVERYTHING).lines == [
        "dev compared with production: 2 of 4 apps differ",
        "",
        "ODB, SSO  a000000 → c000000",
        "  2 commits by Ada, Grace",
        "  ccccccc #12 Add priorities  Ada, 2 d",
        "  bbbbbbb Mend a typing error  Grace, 2 d",
        f"    ODB  web {images('ODB')}",
        "    ODB  34.1 MB → 34.3 MB, 30.0 MB of it the same",
        "    ODB  migration odb/migrations/0003_priority.sql",
        f"    SSO  web {images('SSO')}",
        "",
        "Unchanged: ITC. Not recorded in dev: RESOURCE.",
    ]


@pytest.mark.parametrize("width", [200, 80, 60])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    long = tuple(
        Commit(c.sha, c.subject + " and more" * 40, c.author, "", START, 12, c.parents) for c in COMMITS
    )
    made = screen(width, comparison(app("ODB", Between(Relation.AHEAD, (), 2, 0, long))))
    assert max(map(cell_len, made.lines)) <= width


@pytest.mark.parametrize(
    ("compared", "said"),
    [
        (
            app("ODB", Between(Relation.BEHIND, (), 0, 3)),
            "production is ahead: it has 3 commits that dev lacks",
        ),
        (
            app("ODB", Between(Relation.DIVERGED, (), 2, 1, COMMITS)),
            "and production 1 commit that dev lacks",
        ),
        (app("ODB", None, old=""), "nothing is recorded in production yet"),
        (app("ODB", None, note="GitHub is away"), "what lies between could not be told: GitHub is away"),
    ],
    ids=["behind", "diverged", "first", "unknown"],
)
def test_it_is_said_plainly_how_the_commits_stand(compared: AppComparison, said: str) -> None:
    assert said in " ".join(" ".join(screen(200, comparison(compared)).lines).split())
    assert said.casefold() in release_notes(comparison(compared), ADDRESSES).replace("\\", "").casefold()


def test_the_same_commit_built_again_is_told() -> None:
    again = Release("Explore", "c" * 40, {"site": SiteVersion("sites/x/versions/1", "1" * 64)})
    earlier = Release("Explore", "c" * 40, {"site": SiteVersion("sites/x/versions/0", "0" * 64)})
    rebuilt = AppComparison(
        "Explore",
        "example/explore",
        deployment("Explore", "dev", again),
        deployment("Explore", "production", earlier),
    )
    assert "the same commit, built again" in " ".join(screen(100, comparison(rebuilt)).lines)


def test_what_a_merge_brought_is_told_by_the_merge() -> None:
    """A merge commit, its two commits of a branch, and one of another pull request that it brought."""
    merge = Commit("1" * 40, "Add it all", "Ada", "", START, 7, (A, "2" * 40))
    inner = Commit("2" * 40, "wip", "Ada", "", START, 7, ("3" * 40,))
    other = Commit("3" * 40, "Another (#5)", "Grace", "", START, 5, ("4" * 40,))
    first = Commit("4" * 40, "begin", "Grace", "", START, None, (A,))
    lies = Between(Relation.AHEAD, (), 4, 0, (merge, inner, other, first))
    assert app("ODB", lies).told == (merge, other)


def test_release_notes_have_links_and_a_heading_for_each_range() -> None:
    notes = release_notes(EVERYTHING, ADDRESSES)
    assert notes.startswith(
        "## observatory: dev → production\n\n### ODB, SSO\n\n`a000000` → `c000000` ([compare](https://"
    )
    assert (
        "- Add priorities ([\\#12](https://g.example/example/services/pull/12), "
        "[`ccccccc`](https://g.example/example/services/commit/ccccccc)), Ada\n"
    ) in notes
    assert "- **ODB** size: 34.1 MB → 34.3 MB, 30.0 MB of it the same\n" in notes
    assert "- **ODB** migration: odb/migrations/0003\\_priority.sql" in notes
    assert notes.endswith("Unchanged: ITC. Not recorded in dev: RESOURCE.")


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1)) ![x](http://x)",
    "`code` **bold** _it_ ~~gone~~ | a | b |",
    "@everyone fixes #1, GH-2 and org/repo#3 see https://evil.example www.evil.example",
    "# heading",
    "1. list",
    "- item",
    "&lt;b&gt; &#64;me",
    "$x$ \\(y\\)",
    "---",
]


@pytest.mark.parametrize("subject", HOSTILE)
def test_a_hostile_subject_is_text_in_release_notes(subject: str) -> None:
    """Read back by another's implementation of CommonMark."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(f"- {escaped(subject)}")
    kinds = [token.type for token in tokens]
    assert kinds == [
        *("bullet_list_open", "list_item_open", "paragraph_open", "inline"),
        *("paragraph_close", "list_item_close", "bullet_list_close"),
    ]
    inline = tokens[3].children or []
    assert {token.type for token in inline} <= {"text", "text_special"}
    assert "".join(token.content for token in inline).replace("\u200b", "") == subject


@pytest.mark.parametrize("subject", HOSTILE)
def test_nobody_is_mentioned_and_nothing_linked(subject: str) -> None:
    shown = re.sub(r"\\(.)", r"\1", escaped(subject)).replace("&#8203;", "\u200b")
    assert not re.search(r"@\w|#\d|GH-\d|https?://|www\.", shown.replace("&#64;", ""))


def test_control_characters_reach_neither_terminal_nor_notes() -> None:
    hostile = Commit(
        C, "\x1b]8;;http://evil\x07click\x1b[2J\u202eme\r\nsecond", "\x9bAda", "", START, None, (A,)
    )
    compared = comparison(app("ODB", Between(Relation.AHEAD, (), 1, 0, (hostile,))))
    written = screen(120, compared).written
    assert "evil\x07" not in written
    assert "\x1b[2J" not in written
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", release_notes(compared, ADDRESSES))


def test_every_key_is_described() -> None:
    page = ROOT / "docs" / "reference" / "diff.md"
    document = diff_document(EVERYTHING, ADDRESSES)

    def described(heading: str) -> list[str]:
        return [key for row in rows(page, heading) for key in code(row[0])]

    assert described("As JSON") == list(document)
    assert described("An app") == list(document["apps"][0])
    assert described("A commit") == list(document["apps"][0]["commits"][0])
