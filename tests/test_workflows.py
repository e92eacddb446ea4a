"""What runs on GitHub: each file reads, asks for no more rights than it uses, and takes actions of others by their commit."""

import re

import pytest
import yaml
from notebooks.books import ROOT, load_tool

FOLDER = ROOT / ".github" / "workflows"
NAMES = sorted(path.name for path in FOLDER.glob("*.yml"))
RIGHTS = {("publish.yml", "publish", "id-token"), ("site.yml", "deploy", "id-token"), ("site.yml", "deploy", "pages")}  # to write


def text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def read(name):
    """The workflow; YAML takes its `on` for a truth."""
    found = yaml.safe_load(text(name))
    found["on"] = found.pop(True)
    return found


def jobs():
    return [(name, job, content) for name in NAMES for job, content in read(name)["jobs"].items()]


def steps():
    return [(f"{name}, {job}", step) for name, job, content in jobs() for step in content["steps"]]


def test_they_are_the_four():
    assert NAMES == ["publish.yml", "site.yml", "test.yml", "weekly.yml"]


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_taken_by_its_commit_and_says_its_version(name):
    used = re.findall(r"uses: (.*)", text(name))
    assert used
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+(\.\d+\.\d+)?", line), line


def test_an_action_has_one_commit_everywhere():
    found = {}
    for name in NAMES:
        for action, commit in re.findall(r"uses: ([\w/-]+)@(.*)", text(name)):
            found.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in found.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_may_read_at_most_and_a_job_writes_only_what_is_known(name):
    workflow = read(name)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job, content in workflow["jobs"].items():
        for right, kind in content.get("permissions", {}).items():
            assert kind == "read" or (name, job, right) in RIGHTS, (job, right)


def test_no_password_is_kept():
    """PyPI and Pages know a job by its identity; the one token there is, GitHub makes for each run."""
    for name in NAMES:
        assert "secrets." not in text(name)
        assert set(re.findall(r"password|api[_-]?token", text(name), re.IGNORECASE)) <= {"password"}  # in a comment: that there is none


def test_a_checkout_leaves_no_token_behind():
    for place, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step.get("with", {}).get("persist-credentials") is False, place


def test_a_job_ends_by_itself():
    for name, job, content in jobs():
        assert content["timeout-minutes"] <= 300, (name, job)


def test_every_command_of_ours_exists():
    commands = load_tool("workbook").COMMANDS
    named = [word for _, step in steps() for word in re.findall(r"tools/workbook\.py (\S+)", step.get("run", ""))]
    assert {"lite", "site", "test", "test-elsewhere", "test-all", "weekly", "wheel"} == set(named)
    missing = set(named) - set(commands)
    assert missing == set(), f"`make {missing}` is not there yet"


def test_what_is_published_was_built_without_the_right_to_publish():
    workflow = read("publish.yml")
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert build["permissions"] == {"contents": "read"}
    assert publish["permissions"] == {"id-token": "write"}
    assert (publish["environment"], publish["needs"]) == ("pypi", "build")
    assert publish["steps"][-1]["with"] == {"attestations": True}
    assert not any("run" in step or "checkout" in step["uses"] for step in publish["steps"])  # no line of the repository runs there


def test_the_site_takes_the_book_for_a_browser_along():
    workflow = read("site.yml")
    words = [step["run"] for step in workflow["jobs"]["build"]["steps"] if "workbook.py" in step.get("run", "")]
    assert words == ["python tools/workbook.py lite", "python tools/workbook.py site"]  # in this order
    uploads = [step["with"]["path"] for step in workflow["jobs"]["build"]["steps"] if "pages-artifact" in step.get("uses", "")]
    assert uploads == ["build/site"]
    assert workflow["jobs"]["deploy"]["environment"]["name"] == "github-pages"


def test_the_weekly_look_sees_the_whole_history():
    workflow = read("weekly.yml")
    assert [re.fullmatch(r"\d+ \d+ \* \* \d", each["cron"]) is not None for each in workflow["on"]["schedule"]] == [True]
    assert workflow["jobs"]["look"]["steps"][0]["with"]["fetch-depth"] == 0


def test_pinned_actions_are_asked_for_newer_ones():
    (update,) = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert update["package-ecosystem"] == "github-actions"
