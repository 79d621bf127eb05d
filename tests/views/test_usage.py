"""The page of usage: each column says what was lost in its own time."""

from __future__ import annotations

import pytest

from collector.page.charts import WIDTH
from collector.views.usage_chart import LEFT
from tests.audit.rows import MINUTE, window
from tests.support.outputs import outputs
from tests.support.witnesses import T0
from tests.views.conftest import World, chat
from tests.views.test_losses import put

pytestmark = pytest.mark.asyncio
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@pytest.mark.parametrize(("since", "columns", "back_us"), [("1d", 25, 3 * HOUR), ("7d", 8, 3 * DAY), ("30d", 31, 20 * DAY)])
async def test_a_loss_stands_under_the_column_of_its_time(world: World, since: str, columns: int, back_us: int) -> None:
    await world.put(outputs([chat(1)]))
    unit = HOUR if since == "1d" else DAY
    lost_at = (world.clock.us - back_us) // unit * unit + unit // 24  # soon after the column's beginning, earlier in the day than now
    assert lost_at % DAY < world.clock.us % DAY
    await put(world, window(lost_at, dropped={"buffer_full": 7}, received=5, both=5))
    page = await world.see(f"/usage?since={since}")
    marks = [found for tag, found in page.tags if tag == "rect" and found.get("y") == "230"]
    assert len(marks) == columns
    begun = world.clock.us // unit - (columns - 1)
    (number,) = [at for at, found in enumerate(marks) if found["class"] == "bad"]
    assert number == lost_at // unit - begun
    assert float(str(marks[number]["x"])) == pytest.approx(LEFT + number * (WIDTH - LEFT) / columns, abs=0.1)
    assert world.clock.us > T0
