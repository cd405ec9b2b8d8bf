"""The bench of policies: what it measures are decisions as they should be."""

import json
import sys

import pytest

import bench_policy
from bench_policy import GET, TYPICAL, cases, measure
from sordino.domain.decision import decide
from sordino.domain.policy import PolicyKind, parse_policy


@pytest.mark.parametrize("name", cases())
def test_every_caller_is_decided_over_as_the_bench_says(name):
    """Nobody is refused, or let in, for another reason than his statements."""
    case = cases()[name]
    decision = decide(case.caller, GET, case.bucket_policy)
    assert decision.allowed is case.allowed
    assert "cannot be read" not in decision.because


def test_a_typical_user_has_so_many_statements():
    """Three policies of five statements, of which the last allows."""
    caller = cases()[TYPICAL].caller
    read = [parse_policy(policy.document, PolicyKind.IDENTITY).statements for policy in caller.policies]
    assert [len(statements) for statements in read] == [5, 5, 5]
    decision = decide(caller, GET)
    assert (decision.policy, decision.statement) == ("p2", 5)


def test_a_wrong_decision_stops_the_bench(monkeypatch):
    """Figures of decisions that are not as they should be are not given."""
    monkeypatch.setattr(bench_policy, "GET", bench_policy.replace(GET, action="cos:PutObject"))
    with pytest.raises(AssertionError, match="cos:PutObject on qcs::cos:"):
        cases()[TYPICAL].rate(0.01)


def test_figures(monkeypatch, capsys):
    """The command prints a line of JSON with a rate for every caller."""
    monkeypatch.setattr(sys, "argv", ["bench_policy.py", "--rounds", "1", "--seconds", "0.01", "--no-server"])
    assert bench_policy.main() == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found["decisions"]) == set(cases())
    assert min(found["decisions"].values()) > 0
    assert measure(1, 0.01, server=False).shares == {}
