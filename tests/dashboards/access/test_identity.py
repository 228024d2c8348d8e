"""Who may do what with a job."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from dashboards.access import LOCAL, Action, Identity
from hwprofiles.errors import NotAllowed, NotFound
from search.permissions import DEFAULT_PROJECT, Scope

SEE, CHANGE = Action.SEE, Action.CHANGE
EVERYTHING = frozenset(Scope)


@dataclass(frozen=True)
class Job:
    submitted_by: str = "ada"
    project: str = "vision"


PEOPLE = {
    "submitter": Identity("ada", EVERYTHING),
    "member": Identity("ben", EVERYTHING, projects=frozenset({"vision"})),
    "owner": Identity("cem", EVERYTHING, projects=frozenset({"vision"}), owned_projects=frozenset({"vision"})),
    "of another project": Identity("dan", EVERYTHING, frozenset({"audio"}), frozenset({"audio"})),
    "stranger": Identity("eve", EVERYTHING),
    "administrator": Identity("fay", EVERYTHING, admin=True),
    "local": LOCAL,
}
SEES = {"submitter", "member", "owner", "administrator", "local"}
CHANGES = SEES - {"member"}


@pytest.mark.parametrize("who", PEOPLE)
def test_who_sees_and_changes_a_job(who: str) -> None:
    assert PEOPLE[who].may(SEE, Job()) == (who in SEES)
    assert PEOPLE[who].may(CHANGE, Job()) == (who in CHANGES)


@pytest.mark.parametrize("who", PEOPLE)
def test_a_scope_that_a_token_lacks_is_nobody_s(who: str) -> None:
    assert not replace(PEOPLE[who], scopes=EVERYTHING - {Scope.READ}).may(SEE, Job())
    assert not replace(PEOPLE[who], scopes=EVERYTHING - {Scope.SUBMIT}).may(CHANGE, Job())
    assert not replace(PEOPLE[who], scopes=EVERYTHING - {Scope.SUBMIT}).may_submit_to("vision")


@pytest.mark.parametrize("who", PEOPLE)
def test_a_token_of_another_project_sees_nothing(who: str) -> None:
    restricted = replace(PEOPLE[who], only_project="audio")
    assert not restricted.may(SEE, Job())
    assert not restricted.may(CHANGE, Job())
    assert not restricted.may_submit_to("vision")


def test_who_submits_where() -> None:
    assert {who for who, identity in PEOPLE.items() if identity.may_submit_to("vision")} == {
        "member", "owner", "administrator", "local",
    }  # fmt: skip
    assert all(identity.may_submit_to(DEFAULT_PROJECT) for identity in PEOPLE.values())


def test_a_refusal_says_no_more_than_they_may_know() -> None:
    unknown = NotFound("there is no job 'x'")
    with pytest.raises(NotFound, match="no job 'x'"):
        PEOPLE["stranger"].require(CHANGE, Job(), unknown)
    with pytest.raises(NotAllowed, match="ben may not change") as refused:
        PEOPLE["member"].require(CHANGE, Job(), unknown)
    assert "ask ada" in refused.value.hint
    PEOPLE["owner"].require(CHANGE, Job(), unknown)


def test_a_missing_scope_is_named() -> None:
    with pytest.raises(NotAllowed, match="the scope 'submit'; yours has read"):
        Identity("ada", frozenset({Scope.READ})).require_scope(Scope.SUBMIT)
