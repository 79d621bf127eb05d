"""The chart of usage says how sure each column is, and its parts add up to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.audit.usage_documents import UsageGroup
from collector.views.usage_chart import COLOURS, OTHERS, chart, classes_of, of_classes, of_groups


def test_where_losses_are_not_known_no_column_is_called_well() -> None:
    tokens = {"output": 5}
    found = {"since": "2026-01-01T00:00:00Z", "until": "2026-11-01T00:00:00Z"}
    months = {"items": [{"group": {"month": "2026-05"}, "tokens": tokens, "calls": 3, "coverage": {"without_usage": 0}}]}
    classes = classes_of(tokens)
    (sure,) = chart(months, found, None, classes, of_classes(months, "month", classes)).sure
    assert (sure.kind, sure.title) == ("none", "whether records were lost is not known here")


def summed(day: str, tokens: int, model: str = "") -> UsageGroup:
    return {"group": {"day": day, **({"model": model} if model else {})}, "tokens": {"output": tokens} if tokens else {}}


def name(one: UsageGroup) -> str:
    return str(one["group"]["model"])


MODELS, DAYS = "abcdefg", ("2026-11-01", "2026-11-02")


@given(st.dictionaries(st.tuples(st.sampled_from(DAYS), st.sampled_from(MODELS)), st.integers(0, 50)), st.integers(0, 9))
def test_columns_of_groups_add_up_to_what_was_used_also_of_groups_that_the_answer_left_out(
    used: dict[tuple[str, str], int], left_out: int
) -> None:
    grouped = {"items": [summed(day, tokens, model) for (day, model), tokens in used.items()]}
    totals = {day: left_out + sum(tokens for (on, _), tokens in used.items() if on == day) for day in DAYS}
    over_time = {"items": [summed(day, tokens) for day, tokens in totals.items()]}
    kinds, values = of_groups(over_time, grouped, "day", name)
    assert {day: sum(told) for day, told in values.items()} == totals
    named = [one for _, one in kinds if one != OTHERS]
    by_model = {model: sum(tokens for (_, of), tokens in used.items() if of == model) for model in MODELS}
    assert named == sorted((one for one in by_model if by_model[one]), key=lambda one: (-by_model[one], one))[: len(COLOURS)]
    for number, model in enumerate(named):
        assert [values[day][number] for day in DAYS] == [used.get((day, model), 0) for day in DAYS]
    assert len({len(told) for told in values.values()} | {len(kinds)}) == 1
