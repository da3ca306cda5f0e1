from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.drops.errors import LimitError
from labkit.drops.pity import PityLaw, PityRule
from labkit.drops.plans import Stage, parse_stage, plan_outcome
from labkit.drops.presets import PRESETS
from labkit.errors import UsageError

GENSHIN = PRESETS["genshin"].rule
RULES = st.builds(
    PityRule,
    st.fractions(Fraction(1, 20), Fraction(1, 2), max_denominator=30),
    hard=st.none() | st.integers(2, 5),
    featured=st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(1, 3)]),
    guarantee=st.booleans(),
)
STAGES = st.lists(st.builds(Stage, st.integers(1, 2), st.integers(0, 12), RULES), min_size=1)


def exact_plan(stages):
    """The exact chance that each stage and all before it work, pull by pull."""
    # Pulls spent so far -> chance, over the plans that still work.
    spent = {0: Fraction(1)}
    budget, done = 0, []
    for stage in stages:
        budget += stage.pulls
        law = PityLaw(stage.rule, stage.copies)
        totals = [law._exactly_within(pulls) for pulls in range(budget + 1)]
        steps = [after - before for before, after in zip([0, *totals], totals, strict=False)]
        after = {}
        for start, chance in spent.items():
            for pulls in range(budget - start + 1):
                place = start + pulls
                after[place] = after.get(place, Fraction(0)) + chance * steps[pulls]
        spent = after
        done.append(sum(spent.values()))
    return done


@given(STAGES.filter(lambda stages: len(stages) <= 3))
@settings(deadline=None, max_examples=50)
def test_a_plan_agrees_with_exact_convolution(stages):
    """Both tails of every stage, and where the plan fails."""
    outcome = plan_outcome(stages)
    exact = exact_plan(stages)

    for part, before, after in zip(outcome.stages, [1, *exact], exact, strict=False):
        assert math.isclose(part.reached.value, before, rel_tol=1e-12)
        assert math.isclose(part.done.value, after, rel_tol=1e-12)
        assert math.isclose(part.done.complement, 1 - after, rel_tol=1e-12)
        assert math.isclose(part.fails.value, before - after, rel_tol=1e-11)
        assert math.isclose(part.fails.complement, 1 - before + after, rel_tol=1e-11)
        assert part.fails.impossible == (before == after)
        assert part.fails.certain == (before - after == 1)
        assert part.done.certain == (after == 1)
        assert part.done.impossible == (after == 0)
    assert outcome.chance == outcome.stages[-1].done


@given(STAGES.filter(lambda stages: len(stages) <= 3))
@settings(deadline=None, max_examples=50)
def test_failures_and_success_make_up_everything(stages):
    """A plan works or fails in one of its stages."""
    outcome = plan_outcome(stages)

    total = math.fsum([outcome.chance.value, *(part.fails.value for part in outcome.stages)])
    assert math.isclose(total, 1, rel_tol=1e-13)


def test_one_stage_is_the_question_of_pity():
    """From a state in the middle of a banner."""
    outcome = plan_outcome([Stage(3, 250, GENSHIN)], made=20, guaranteed=True)
    law = PityLaw(GENSHIN, 3, made=20, guaranteed=True)

    assert math.isclose(outcome.chance.value, law.within(250).value, rel_tol=1e-14)


def test_pulls_of_a_later_stage_cannot_be_used_early():
    """The same pulls, but too late: the first stage fails more often."""
    early = plan_outcome([Stage(1, 150, GENSHIN), Stage(1, 50, GENSHIN)])
    late = plan_outcome([Stage(1, 50, GENSHIN), Stage(1, 150, GENSHIN)])

    assert early.chance.value > late.chance.value


def test_a_plan_that_covers_the_worst_case_is_certain():
    """180 pulls for each featured item, and one fewer is not enough."""
    assert plan_outcome([Stage(1, 180, GENSHIN)] * 2).chance.certain
    almost = plan_outcome([Stage(1, 180, GENSHIN), Stage(1, 179, GENSHIN)]).chance

    assert not almost.certain
    assert 0 < almost.complement < 1e-4


def test_the_curve_ends_at_the_chance_of_the_plan():
    """P(works with at most n pulls spent) grows to the chance of the plan."""
    outcome = plan_outcome([Stage(1, 100, GENSHIN), Stage(1, 100, GENSHIN)])

    assert outcome.within(200) == outcome.chance
    assert outcome.within(1).impossible
    assert outcome.within(100).value < outcome.within(150).value < outcome.chance.value


def test_a_plan_beyond_doubles_keeps_a_logarithm():
    """60 hits in 60 pulls at one in a million."""
    rule = PityRule(Fraction(1, 10**6), hard=90)
    chance = plan_outcome([Stage(30, 30, rule), Stage(30, 30, rule)]).chance

    assert math.isclose(chance.ln, -60 * math.log(10**6), rel_tol=1e-12)


def test_a_stage_is_read_with_its_own_preset_or_the_default_rule():
    """COPIES:PULLS takes the default; COPIES:PULLS:PRESET names its own."""
    assert parse_stage("2:150", GENSHIN) == Stage(2, 150, GENSHIN)
    assert parse_stage("1:90:arknights", GENSHIN).rule == PRESETS["arknights"].rule


@pytest.mark.parametrize("text", ["1", "1:2:3:4", "0:90", "1:-1", "x:90", "1:1.5", "1:90:nope"])
def test_a_malformed_stage_is_refused(text):
    """Each with a message that names what is wrong."""
    with pytest.raises(UsageError):
        parse_stage(text, GENSHIN)


def test_a_stage_without_a_rule_is_refused():
    """There is no banner to pull on."""
    with pytest.raises(UsageError, match="no rule"):
        parse_stage("1:90", None)


def test_a_plan_without_stages_or_beyond_the_limit_is_refused():
    """Nothing to compute, or too much."""
    with pytest.raises(UsageError, match="needs a stage"):
        plan_outcome([])
    with pytest.raises(LimitError, match="too large"):
        plan_outcome([Stage(1, 10**6, GENSHIN), Stage(1, 1, GENSHIN)])
    with pytest.raises(UsageError, match="without a hit"):
        plan_outcome([Stage(1, 10, GENSHIN)], made=90)
