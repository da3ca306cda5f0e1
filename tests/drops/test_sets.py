from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit.drops.binomial import within
from labkit.drops.chances import Chance
from labkit.drops.errors import LimitError, NeverError
from labkit.drops.exact_sets import exact_exclusive, exact_independent
from labkit.drops.items import SetItem, coupon_items, expected_distinct, parse_set_items, set_items
from labkit.drops.multinomial import Group, Multinomial
from labkit.drops.rates import DropSpec
from labkit.drops.sets import set_law
from labkit.errors import UsageError

TABLES = ("exclusive", "independent", "protected")


@st.composite
def item_lists(draw, most=4):
    """Items of unequal rates that may share an exclusive table, with copies and owned ones."""
    weights = draw(st.lists(st.integers(1, 30), min_size=1, max_size=most))
    faces = sum(weights) + draw(st.integers(0, 60))
    return [
        SetItem(
            str(place),
            Fraction(weight, faces),
            draw(st.integers(1, 3)),
            draw(st.sampled_from([0, 0, 0, 1, 5])),
        )
        for place, weight in enumerate(weights)
    ]


def chain(items, table, tries):
    """The exact chance of completeness after each number of tries, by a Markov chain."""
    start = tuple(item.missing for item in items)
    states = {start: Fraction(1)}
    totals = [states.get((0,) * len(items), Fraction(0))]
    for _ in range(tries):
        after = {}
        for state, chance in states.items():
            for place, moved in moves(items, table, state):
                after[place] = after.get(place, Fraction(0)) + chance * moved
        states = after
        totals.append(states.get((0,) * len(items), Fraction(0)))
    return totals


def moves(items, table, state):
    """Where one try leads from a state of missing copies, straight from the definition."""
    if table == "independent":
        for drops in product((0, 1), repeat=len(items)):
            chance = math.prod(
                item.rate if drop else 1 - item.rate
                for item, drop in zip(items, drops, strict=True)
            )
            yield tuple(max(m - d, 0) for m, d in zip(state, drops, strict=True)), chance
        return
    total = sum(item.rate for item in items)
    yield state, 1 - total
    if table == "protected" and sum(state):
        # The weights decide which piece comes; any missing one will do here.
        place = next(place for place, missing in enumerate(state) if missing)
        yield lowered(state, place), total
        return
    for place, item in enumerate(items):
        yield lowered(state, place), item.rate


def lowered(state, place):
    """The state with one copy fewer missing at `place`."""
    return (*state[:place], max(state[place] - 1, 0), *state[place + 1 :])


@pytest.mark.parametrize("table", TABLES)
@given(items=item_lists())
@settings(deadline=None, max_examples=40)
def test_both_tails_agree_with_a_markov_chain(table, items):
    """P(complete within n tries) and its complement, for every n up to 15."""
    law = set_law(items, table)
    for tries, exact in enumerate(chain(items, table, 15)):
        chance = law.within(tries)

        assert math.isclose(chance.value, exact, rel_tol=1e-11)
        assert math.isclose(chance.complement, 1 - exact, rel_tol=1e-11)
        assert chance.impossible == (exact == 0)
        assert chance.certain == (exact == 1)


@given(item_lists(most=6), st.integers(1, 400))
@settings(deadline=None)
def test_exclusive_sets_agree_with_exact_fractions(items, tries):
    """Many tries, on both sides, against inclusion and exclusion in whole numbers."""
    law = set_law(items)
    wanted = [(item.rate, item.missing) for item in items if item.missing]
    assume(wanted)
    exact = exact_exclusive(wanted, tries)
    chance = law.within(tries)

    assert math.isclose(chance.value, exact, rel_tol=1e-11)
    assert math.isclose(chance.complement, 1 - exact, rel_tol=1e-10)


@given(item_lists(), st.integers(0, 12))
@settings(deadline=None)
def test_the_exact_fractions_agree_with_a_markov_chain(items, tries):
    """The references themselves, for both kinds of table."""
    wanted = [(item.rate, item.missing) for item in items if item.missing]
    assume(wanted)

    assert exact_exclusive(wanted, tries) == chain(items, "exclusive", tries)[tries]
    assert exact_independent(wanted, tries) == chain(items, "independent", tries)[tries]


@pytest.mark.parametrize("table", TABLES)
@given(items=item_lists(), at=st.integers(1, 12), side=st.sampled_from([-1, 0, 1]))
@settings(deadline=None, max_examples=40)
def test_the_tries_for_a_confidence_are_the_fewest(table, items, at, side):
    """Equality counts, and a hair beside it is told apart and certified."""
    exact = chain(items, table, 12)
    confidence = exact[at] + Fraction(side, 10**40)
    assume(0 < confidence < exact[-1])
    answer = set_law(items, table).tries_for(confidence)

    assert answer.tries == next(n for n, p in enumerate(exact) if p >= confidence)
    assert answer.certified


@pytest.mark.parametrize("table", TABLES)
@given(items=item_lists(most=3))
@settings(deadline=None, max_examples=25)
def test_mean_and_spread_agree_with_the_law(table, items):
    """Against sums over the law itself."""
    law = set_law(items, table)
    last = law.tries_for(1 - Fraction(1, 10**15)).tries
    assume(last < 2000)
    still_open = [law.within(tries).complement for tries in range(last + 1)]
    mean = math.fsum(still_open)
    square = math.fsum((2 * n + 1) * left for n, left in enumerate(still_open))

    assert math.isclose(law.moments[0], mean, rel_tol=1e-10, abs_tol=1e-12)
    assert math.isclose(
        law.moments[1], math.sqrt(max(square - mean**2, 0)), rel_tol=1e-5, abs_tol=1e-5
    )


@pytest.mark.parametrize("rate", ["1e-3", "1e-6", "1e-9"])
def test_the_mean_of_rare_independent_items_is_not_summed(rate):
    """Four rare items, against the alternating sum that is exact for so few."""
    p = Fraction(rate)
    exact = sum((-1) ** (k + 1) * math.comb(4, k) / (1 - (1 - p) ** k) for k in range(1, 5))
    law = set_law(set_items(dict.fromkeys("abcd", rate)), "independent")

    assert math.isclose(law.moments[0], exact, rel_tol=1e-12)


@pytest.mark.parametrize("types", [1, 2, 50, 400])
def test_the_coupon_collector_has_the_harmonic_mean(types):
    """K kinds, all equally likely: K (1 + 1/2 + ... + 1/K)."""
    exact = types * sum(Fraction(1, k) for k in range(1, types + 1))

    assert math.isclose(set_law(coupon_items(types)).moments[0], exact, rel_tol=1e-13)


def equal_coupons(types, tries):
    """The exact chance of all equally likely kinds, by the number of kinds owned."""
    owned = [Fraction(1)] + [Fraction(0)] * types
    for _ in range(tries):
        owned = [
            owned[j] * Fraction(j, types)
            + (owned[j - 1] * Fraction(types - j + 1, types) if j else 0)
            for j in range(types + 1)
        ]
    return owned[types]


@pytest.mark.parametrize(("types", "tries"), [(20, 20), (20, 21), (30, 60), (30, 300)])
def test_many_equal_items_keep_their_digits(types, tries):
    """Where the alternating sum of doubles loses all of them."""
    chance = set_law(coupon_items(types)).within(tries)
    exact = equal_coupons(types, tries)

    assert math.isclose(chance.value, exact, rel_tol=1e-11)
    assert math.isclose(chance.complement, 1 - exact, rel_tol=1e-11)


@pytest.mark.parametrize("tries", [45, 120, 700, 4000])
def test_many_unequal_items_keep_their_digits(tries):
    """Forty items of forty rates, against the exact fraction, in both tails."""
    items = [SetItem(str(weight), Fraction(weight, 900)) for weight in range(1, 41)]
    chance = set_law(items).within(tries)
    exact = exact_exclusive([(item.rate, 1) for item in items], tries)

    assert math.isclose(chance.value, exact, rel_tol=1e-11)
    assert math.isclose(chance.complement, 1 - exact, rel_tol=1e-11)


def test_two_hundred_unequal_items_are_consistent():
    """Growing with every try, and the tries for a confidence reach it where one fewer does not."""
    total = sum(range(1, 201))
    law = set_law([SetItem(str(n), Fraction(n, total), 1 + n % 3) for n in range(1, 201)])
    lns = [law.within(tries).ln for tries in (law.fewest, 450, 1000, 5000, 20000, 60000)]

    assert lns == sorted(lns)
    answer = law.tries_for(Fraction(9, 10))
    assert answer.certified
    assert law.within(answer.tries).value >= 0.9 > law.within(answer.tries - 1).value


def test_chances_next_to_certainty_keep_their_distance():
    """After ten times the mean, something is missing with the chance of a single item."""
    law = set_law(set_items({"a": "1/50", "b": "1/60", "c": "1/70"}))
    chance = law.within(20_000)

    assert math.isclose(chance.ln_complement, 20_000 * math.log1p(-1 / 70), rel_tol=1e-12)


def test_chances_beyond_doubles_keep_a_logarithm():
    """400 kinds in 400 tries: 400! / 400^400."""
    ln = set_law(coupon_items(400)).within(400).ln

    assert math.isclose(ln, math.lgamma(401) - 400 * math.log(400), rel_tol=1e-12)


@pytest.mark.parametrize("need", [3600, 3950, 3965, 3970])
def test_one_item_that_is_nearly_the_whole_table(need):
    """The tilt leaves the range of doubles; the answer stays right.

    Of 4000 tries that give one of two items, `a` comes often enough when `b` is rare enough.
    """
    law = set_law(set_items({"a": "0.995", "b": "0.005"}, need={"a": need}))
    exact = within(DropSpec(1, 4000 - need), 4000, Fraction("0.005"))

    assert math.isclose(law.within(4000).value, exact.value, rel_tol=1e-11)
    assert math.isclose(law.within(4000).complement, exact.complement, rel_tol=1e-9)


def test_certain_items_take_as_many_tries_as_copies():
    """Independent items that always drop: no chance is left."""
    law = set_law(set_items({"a": 1, "b": 1}, need={"b": 3}), "independent")

    assert law.moments == (3, 0)
    assert law.tries_for(Fraction(1)).tries == law.tries_for(Fraction(1, 2)).tries == 3
    assert law.within(3).certain


def test_a_chance_too_close_to_call_is_not_called_certified():
    """Where even the exact fraction is out of reach, the answer says so."""
    law = set_law([SetItem(str(n), Fraction(1, 10_007 + n)) for n in range(100)])
    tries = law.tries_for(Fraction(1, 2)).tries
    answer = law.tries_for(Fraction(law.within(tries).value))

    assert not answer.certified
    assert abs(answer.tries - tries) <= 1


def test_owned_items_ask_nothing():
    """More owned than wanted is nothing left to ask; all owned is complete at once."""
    items = set_items({"a": "1/4", "b": "1/4"}, need={"a": 2}, owned={"a": 1, "b": 3})

    assert [item.missing for item in items] == [1, 0]
    assert set_law(items).moments[0] == 4
    done = set_law(set_items({"a": "1/4"}, owned={"a": 1}))
    assert done.within(0).certain
    assert done.tries_for(Fraction(1)).tries == 0


def test_duplicate_protection_counts_drops_at_the_total_rate():
    """Whatever the weights: the fourth drop at 1/150."""
    items = set_items({"a": "1/500", "b": "1/500", "c": "1/750", "d": "1/750"})

    assert set_law(items, "protected").tries_for(Fraction(19, 20)).tries == 1161
    assert set_law(items, "exclusive").tries_for(Fraction(19, 20)).tries == 2857


def test_rates_that_sum_to_one_are_an_exclusive_table():
    """0.1 ten times is exactly 1, and a hair more is refused with the sum."""
    names = [f"item{n}" for n in range(10)]
    assert set_law(set_items(dict.fromkeys(names, "0.1"))).fewest == 10

    with pytest.raises(UsageError, match=r"sum to 11/10 \(1.1\), above 1"):
        set_law(set_items(dict.fromkeys([*names, "more"], "0.1")))
    assert set_law(set_items(dict.fromkeys([*names, "more"], "0.1")), "independent").fewest == 1


def test_expected_distinct_is_the_sum_of_the_items():
    """The mean number of different items, the same for both kinds of table."""
    items = set_items({"a": "1/2", "b": "1/4"})

    assert math.isclose(expected_distinct(items, 2), 3 / 4 + 7 / 16, rel_tol=1e-15)


def test_items_are_read_as_typed():
    """NAME=RATE, NAME:COUNT and NAME for one copy, repeated for more."""
    items = parse_set_items(["a=1/4", " b = 2% "], ["a:3"], ["a", "a", "b:4"])

    assert items == [SetItem("a", Fraction(1, 4), 3, 2), SetItem("b", Fraction(1, 50), 1, 4)]


@pytest.mark.parametrize(
    ("texts", "needs", "owned", "message"),
    [
        (["a"], [], [], "not an item"),
        (["=1/4"], [], [], "not an item"),
        (["a="], [], [], "not an item"),
        (["a=0"], [], [], "rate of 0"),
        (["a=5000"], [], [], "above 1"),
        (["a=1/0"], [], [], "divides by zero"),
        (["a=1/4", "a=1/5"], [], [], "given twice"),
        (["a=1/4"], ["b:2"], [], "no item `b`"),
        (["a=1/4"], ["a"], [], "cannot be read"),
        (["a=1/4"], ["a:0"], [], "below 1"),
        (["a=1/4"], ["a:1.5"], [], "not a whole number"),
        (["a=1/4"], [], ["a:-1"], "below 0"),
        (["a=1/4"], [], ["c"], "no item `c`"),
    ],
)
def test_malformed_items_are_refused(texts, needs, owned, message):
    """One line that names the trouble, and a hint."""
    with pytest.raises(UsageError, match=message) as caught:
        parse_set_items(texts, needs, owned)

    assert caught.value.hint


def test_endless_questions_are_refused():
    """Too many items, copies or tries, each with its limit."""
    with pytest.raises(LimitError, match="items are too many"):
        set_law([SetItem(str(n), Fraction(1, 10**6)) for n in range(10_001)])
    with pytest.raises(LimitError, match="copies are too many"):
        set_law([SetItem("a", Fraction(1, 2), 10**7)])
    with pytest.raises(LimitError, match="1e15"):
        set_law(set_items({"a": "1e-20", "b": "1e-20"})).tries_for(Fraction(1, 2))
    with pytest.raises(LimitError, match="too many"):
        set_law(set_items({"a": "1/2", "b": "1/2"})).within(10**16)
    with pytest.raises(LimitError):
        coupon_items(10**5)


def test_nothing_to_ask_and_certainty_that_never_comes_are_refused():
    """A set without items; 100 % of a set of chances."""
    with pytest.raises(UsageError, match="needs an item"):
        set_law([])
    with pytest.raises(NeverError):
        set_law(set_items({"a": "1/2", "b": "1/2"})).tries_for(Fraction(1))


def test_a_single_item_is_certified_at_any_size():
    """It is a question about one rate, and answered as exactly."""
    law = set_law(set_items({"a": "1e-30"}))

    assert law.tries_for(Fraction(19, 20)).certified


def test_large_tables_agree_with_their_limit():
    """A billion tries on rare items: the Poisson limit holds to its own error."""
    groups = [Group((n + 1) * 1e-9, 1 + n % 2, 1) for n in range(20)]
    ln = Multinomial(groups, 1 - math.fsum(g.rate for g in groups)).ln_complete(10**9)
    means = [(g.rate * 1e9, g.copies) for g in groups]
    lacks = [math.exp(-m) * (1 if c == 1 else 1 + m) for m, c in means]

    assert math.isclose(ln, math.fsum(map(math.log1p, (-x for x in lacks))), rel_tol=1e-6)


def test_a_chance_has_both_sides():
    """What a law gives is a chance with its complement."""
    chance = set_law(set_items({"a": "1/3", "b": "1/3"})).within(2)

    assert isinstance(chance, Chance)
    assert math.isclose(chance.value, 2 / 9, rel_tol=1e-14)
