from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit.drops.errors import LimitError, NeverError
from labkit.drops.pity import PityLaw, PityRule
from labkit.drops.presets import PRESETS, find_preset, pity_rule
from labkit.drops.renewal import Renewal, float_gap
from labkit.errors import UsageError

RATES = st.fractions(Fraction(1, 50), Fraction(1, 2), max_denominator=60)
GENSHIN = PRESETS["genshin"].rule


@st.composite
def rules(draw):
    """Any rule of a few pulls: with or without ramp, hard pity, featured item and guarantee."""
    soft = draw(st.none() | st.integers(1, 6))
    return PityRule(
        draw(RATES),
        soft,
        None if soft is None else draw(RATES),
        draw(st.none() | st.integers(soft or 1, 9)),
        draw(st.just(Fraction(1)) | RATES),
        guarantee=draw(st.booleans()),
    )


@st.composite
def laws(draw):
    """Any law from any state that can be."""
    rule = draw(rules())
    made = draw(st.integers(0, min(12, (rule.certain_at or 13) - 1)))
    guaranteed = draw(st.booleans()) and rule.guarantee and rule.featured < 1
    return PityLaw(rule, draw(st.integers(1, 3)), made=made, guaranteed=guaranteed)


def hazard(rule, pull):
    """The chance at a pull since the last hit, straight from the definition."""
    if rule.hard is not None and pull >= rule.hard:
        return Fraction(1)
    if rule.soft is None or pull < rule.soft:
        return rule.base
    return min(Fraction(1), rule.base + rule.step * (pull - rule.soft + 1))


def chain(law, pulls):
    """The exact chance of all copies after each number of pulls, by a Markov chain."""
    rule = law.rule
    states = {(law.made, law.copies, law.guaranteed): Fraction(1)}
    done, totals = Fraction(0), [Fraction(0)]
    for _ in range(pulls):
        after = {}
        for (made, copies, sure), chance in states.items():
            hit = chance * hazard(rule, made + 1)
            won = hit if sure else hit * rule.featured
            moves = [
                ((made + 1, copies, sure), chance - hit),
                ((0, copies - 1, False), won),
                ((0, copies, rule.guarantee), hit - won),
            ]
            for state, moved in moves:
                if state[1] == 0:
                    done += moved
                elif moved:
                    after[state] = after.get(state, Fraction(0)) + moved
        states = after
        totals.append(done)
    return totals


@given(laws())
@settings(deadline=None)
def test_both_tails_agree_with_a_markov_chain(law):
    """P(all copies within n pulls) and its complement, for every n up to 25."""
    for pulls, exact in enumerate(chain(law, 25)):
        chance = law.within(pulls)

        assert math.isclose(chance.value, exact, rel_tol=1e-12)
        assert math.isclose(chance.complement, 1 - exact, rel_tol=1e-12)
        assert chance.impossible == (exact == 0)
        assert chance.certain == (exact == 1)
        assert law._exactly_within(pulls) == exact


@given(laws(), st.integers(1, 25), st.sampled_from([-1, 0, 1]))
@settings(deadline=None)
def test_the_pulls_for_a_confidence_are_the_fewest(law, pulls, side):
    """Equality counts, and a hair beside it is told apart."""
    exact = chain(law, 25)
    confidence = exact[pulls] + Fraction(side, 10**40)
    assume(0 < confidence < exact[-1])

    assert law.pulls_for(confidence) == next(n for n, p in enumerate(exact) if p >= confidence)


@given(laws())
@settings(deadline=None)
def test_mean_and_spread_agree_with_the_law(law):
    """The closed forms against sums over the law itself."""
    last = law.maximum or law.pulls_for(1 - Fraction(1, 10**15))
    open_after = [law.within(pulls).complement for pulls in range(last)]
    mean = math.fsum(open_after)
    square = math.fsum((2 * n + 1) * left for n, left in enumerate(open_after))

    assert math.isclose(law.mean, mean, rel_tol=1e-10)
    assert math.isclose(law.sd, math.sqrt(max(square - mean**2, 0)), rel_tol=1e-6, abs_tol=1e-6)


def test_the_points_of_the_law_sum_to_its_tail():
    """P(at just n pulls), added up, is P(within n pulls)."""
    law = PityLaw(GENSHIN, 2)

    assert law.at(-1) == law.at(0) == law.at(1) == 0
    points = math.fsum(law.at(pulls) for pulls in range(200))
    assert math.isclose(points, law.within(199).value, rel_tol=1e-13)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_it_stands_for(name):
    """Each names its game, its banner, its source and the date of it, and is a pity."""
    preset = find_preset(name)

    assert preset.game
    assert preset.banner
    assert preset.source
    assert any(year in preset.as_of for year in ("2019", "2023", "2024"))
    assert preset.rule.certain_at


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("genshin", 62.29733203963097),
        ("genshin-weapon", 53.25039058538857),
        ("starrail-lightcone", 53.41104837917278),
        ("arknights", 34.59455493520977),
    ],
)
def test_a_preset_has_the_published_mean(name, mean):
    """The mean number of pulls per hit, as published for the game."""
    assert math.isclose(PRESETS[name].rule.mean_gap, mean, rel_tol=1e-12)


def test_the_first_raised_pull_is_soft_itself():
    """0.6 % rising by 6 % from pull 74 on is 6.6 % at pull 74, not at 75."""
    assert GENSHIN.hazards[72] == Fraction(6, 1000)
    assert GENSHIN.hazards[73] == Fraction(66, 1000)
    assert len(GENSHIN.hazards) == 90


def test_a_ramp_may_be_certain_before_hard_pity():
    """The weapon banner's ramp reaches 1 at 77, whatever the published maximum."""
    assert pity_rule(preset="genshin-weapon", hard=80).certain_at == 77


def test_certainty_is_reached_at_the_last_pull_only():
    """Seven copies take 1260 pulls at the worst; before that, 100 % is never claimed."""
    law = PityLaw(GENSHIN, 7)

    assert law.pulls_for(Fraction(1)) == law.maximum == 1260
    assert law.within(1260).certain
    assert not law.within(1259).certain
    assert 0 < law.within(1259).complement < 1e-100


def test_chances_below_any_double_keep_a_logarithm():
    """60 hits in a row at one in a million, and 20 worst cases of 90 pulls each at one half."""
    lucky = PityLaw(PityRule(Fraction(1, 10**6), hard=90), 60).within(60)
    unlucky = PityLaw(PityRule(Fraction(1, 2), hard=90), 20).within(1799)

    assert math.isclose(lucky.ln, -60 * math.log(10**6), rel_tol=1e-14)
    assert math.isclose(unlucky.ln_complement, -20 * 89 * math.log(2), rel_tol=1e-14)


def test_without_any_pity_it_is_a_constant_rate():
    """A base rate alone: the negative binomial, with its tie at two tries."""
    law = PityLaw(PityRule(Fraction(1, 10)))

    assert law.pulls_for(Fraction(19, 100)) == 2
    assert law.pulls_for(Fraction(19, 100) + Fraction(1, 10**60)) == 3
    assert law.maximum is None
    assert math.isclose(law.mean, 10, rel_tol=1e-15)


def test_certainty_that_never_comes_is_refused():
    """Without a guarantee every fifty-fifty may be lost."""
    law = PityLaw(pity_rule(preset="genshin", guarantee=False))

    with pytest.raises(NeverError):
        law.pulls_for(Fraction(1))


@pytest.mark.parametrize(
    "figures",
    [
        {"soft": 91, "step": "6%"},
        {"soft": 74},
        {"step": "6%"},
        {"soft": 0, "step": "6%"},
        {"soft": 74, "step": "0"},
        {"hard": 0},
        {"featured": "0"},
        {"featured": "110%"},
        {"guarantee": True},
        {"base": None},
        {"base": "101%"},
        {"base": "0", "hard": None},
        {"preset": "gensin"},
    ],
)
def test_figures_that_make_no_rule_are_refused(figures):
    """Each with a hint that says what to write."""
    with pytest.raises(UsageError) as caught:
        pity_rule(**({"base": "0.6%", "hard": 90} | figures))

    assert caught.value.message


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"base": Fraction(3, 2)}, "base rate"),
        ({"base": Fraction(1, 2), "featured": Fraction(0)}, "featured share"),
        ({"base": Fraction(1, 2), "soft": 3, "step": Fraction(-1, 2)}, "step of soft pity"),
        ({"base": Fraction(0)}, "never a hit"),
    ],
)
def test_a_rule_checks_its_figures(figures, message):
    """Also where they do not come from text."""
    with pytest.raises(UsageError, match=message):
        PityRule(**figures)


def test_no_copies_are_no_question():
    """At least one is wanted."""
    with pytest.raises(UsageError, match="below 1"):
        PityLaw(GENSHIN, 0)


@pytest.mark.parametrize(
    "state",
    [{"made": 90}, {"made": -1}, {"guaranteed": True, "rule": PityRule(Fraction(1, 2))}],
)
def test_a_state_that_nobody_is_in_is_refused(state):
    """As many pulls as hard pity without a hit, or a guarantee that the rule does not give."""
    with pytest.raises(UsageError):
        PityLaw(**({"rule": GENSHIN} | state))


def test_endless_questions_are_refused():
    """The limit is named instead of computing for minutes."""
    with pytest.raises(LimitError, match="pity of"):
        PityRule(Fraction(1, 100), hard=10**6)
    with pytest.raises(LimitError, match="copies"):
        PityLaw(GENSHIN, 10**6)
    with pytest.raises(LimitError, match="too long"):
        PityLaw(PityRule(Fraction(1, 10**9))).pulls_for(Fraction(1, 2))


def test_what_takes_too_long_is_refused_before_it_is_begun():
    """The first pull already tells what all of them take at least."""
    rule = pity_rule("0.1%", hard=1000)
    renewal = Renewal(float_gap(rule.hazards, rule.featured), 1000, guarantee=False)

    with pytest.raises(LimitError):
        renewal.extend(632_305)
    assert renewal.pulls < 10
