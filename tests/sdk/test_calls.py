"""The table of calls holds what it promises."""

import pytest

from sdk.calls import CALLS, MODES, Call, Mode, Sdk, figures, lines


def test_each_call_has_one_row() -> None:
    """No call of an SDK is counted twice."""
    names = [(call.sdk, call.name) for call in CALLS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.sdk} {call.name}")
def test_reasons(call: Call) -> None:
    """What cannot be done has a reason, and is about a way that the SDK has."""
    assert set(call.impossible) <= set(call.modes)
    assert all(len(reason) > 20 for reason in call.impossible.values())


def test_figures() -> None:
    """The figures of an SDK add up to its calls in every mode."""
    for row in figures():
        assert row.total == sum(call.sdk is row.sdk for call in CALLS)
        assert row.driven == sum(call.sdk is row.sdk and call.works(row.mode) for call in CALLS)
    assert {(row.sdk, row.mode) for row in figures()} == {(sdk, mode) for sdk in Sdk for mode in MODES[sdk]}


def test_figures_on_the_terminal() -> None:
    """The command prints one line for each SDK and mode."""
    text = list(lines())
    assert len(text) == 1 + len(figures())
    assert text[1].startswith(Sdk.PYTHON)
    assert Mode.PROXY in text[1]
