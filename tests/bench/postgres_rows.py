"""Many exchanges in Postgres, made inside the server: rows of `exchanges` with all that filters ask for, and their index of marks.

The values are those of bench_queries_file.py, with the same shares: common, rare, very rare and absent ones. A day is a table of its own
that is filled without indexes and attached then: attaching makes the indexes, by the migrations' own statements. Several days are under
way at a time: while one is made of SQL, the next one's marks are indexed here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import asyncpg

from collector.store import postings
from collector.store.partitions import edge, name
from collector.store.schema import marks

DAY_US = 86_400_000_000
OLD = 4_500  # exchanges of one kind that lie together, at the far end
BATCH = 200  # that the sink writes together
AT_ONCE = 100 * BATCH
HANDS = 2
# For a server that is filled: what was written is lost with a crash, and then it is filled anew.
FILLING = """
max_connections = 60
shared_buffers = 1GB
maintenance_work_mem = 512MB
max_parallel_maintenance_workers = 1
wal_level = minimal
max_wal_senders = 0
max_wal_size = 8GB
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
synchronize_seqscans = off
"""
_MARKS = [column.name for column in marks.columns]

FILL = """
INSERT INTO {table} (id, exchange, revision, superseded, source, subject, time_us, duration_us, namespace, service, node, request_id,
  method, path, status, caller, model, completeness, request_bytes, response_bytes, journal, position, ordinal, tokens, first_token_us,
  marks, data)
SELECT id, id, 0, r2 < 0.001, '/proxy/' || node, ns || '/' || svc, us, (r1 * 5e6)::bigint, ns, svc, node, gen_random_uuid()::text,
  CASE WHEN r2 < 0.99 THEN 'POST' WHEN r2 < 0.99999 THEN 'GET' ELSE 'DELETE' END,
  CASE WHEN i < {old} THEN '/old/' || i % 9 WHEN r3 < 0.90 THEN '/v1/chat/completions' WHEN r3 < 0.99 THEN '/v1/embeddings'
    WHEN r3 < 0.9999 THEN '/v2/models/m' || (r1 * 500)::int || '/infer?trace=' || (r2 * 1e9)::int ELSE '/rare/' || (r1 * 9)::int END,
  CASE WHEN r4 < 0.97 THEN 200 WHEN r4 < 0.98 THEN 429 WHEN r4 < 0.99 THEN 503 WHEN r4 < 0.9999 THEN 404 WHEN r4 < 0.99999 THEN 418 END,
  'spiffe://cluster.local/ns/app/sa/c' || (300 * r1 ^ 3)::int, 'model-' || (60 * r3 ^ 6)::int,
  CASE WHEN r1 < 0.97 THEN 1 WHEN r1 < 0.98 THEN 257 WHEN r1 < 0.99 THEN 2 WHEN r1 < 0.9999 THEN 4 ELSE 16 END,
  1000, 2000, 'bench', i, 0, CASE WHEN r1 >= 0.1 THEN (9000 * r2 ^ 3)::int END, (2e5 * r3)::int,
  E'\\nprotocol:' || CASE WHEN r3 < 0.99 THEN 'openai-chat' ELSE 'kserve-v2' END
    || E'\\noperation:chat\\nstreamed:' || CASE WHEN r1 < 0.5 THEN 'true' ELSE 'false' END
    || E'\\nfinish_reason:' || CASE WHEN r2 < 0.98 THEN 'stop' WHEN r2 < 0.9999 THEN 'length' ELSE 'content_filter' END
    || E'\\npolicy:default\\nannotation:team=' || (30 * r1 ^ 2)::int || E'\\nannotation:cost-center=' || (300 * r3)::int
    || E'\\nuser:' || lpad(to_hex((2000 * r2)::int), 32, '0') || E'\\n'
    || CASE WHEN i % 2 = 1 THEN 'trace:' || h || E'\\nsession:' || lpad(to_hex((50000 * r1)::int), 32, '0')
      || E'\\nconsumer:' || lpad(to_hex((100 * r2)::int), 32, '0') || E'\\n' ELSE '' END
    || CASE WHEN i = {old} THEN E'trace:old\\ntool:rare\\n' ELSE '' END,
  convert_to('{{"id":"' || id || '","headers":["' || repeat(md5(r1::text), {headers}) || '"],"usage":{{"prompt_tokens":12}}}}', 'UTF8')
FROM (
  SELECT i, us, h, r1, r2, r3, r4, 'ns-' || (20 * r5 ^ 4)::int AS ns, 'svc-' || (200 * r5 ^ 4)::int AS svc,
    'sidecar~10.0.' || (4 * r5)::int || '.' || (250 * r1)::int || '~pod' AS node,
    substr(ms, 1, 8) || '-' || substr(ms, 9) || '-7' || substr(h, 1, 3) || '-8' || substr(h, 4, 3) || '-' || substr(h, 7, 12) AS id
  FROM (
    SELECT i, {start} + i * {step} AS us, lpad(to_hex(({start} + i * {step}) / 1000), 12, '0') AS ms, md5(i::text || 'bench') AS h,
      random() AS r1, random() AS r2, random() AS r3, random() AS r4, random() AS r5
    FROM generate_series({first}::bigint, {behind} - 1) AS i
  ) AS chance
  OFFSET 0 -- what is told of a row is worked out once
) AS row
"""


def indexed(found: Iterable[tuple[str, str | None]]) -> Iterator[postings.Posting]:
    """The rows of the index of marks, of (id, marks) in the order of time, as a sink makes them that writes BATCH exchanges at a time."""
    rest = iter(found)
    while batch := list(islice(rest, BATCH)):
        yield from postings.postings(batch)


async def fill(url: str, count: int, days: int, headers: int = 0) -> dict[str, float]:
    """So many exchanges evenly over the last days. `headers`: pieces of 32 bytes in each record. Returns the seconds that each part took,
    of all hands together.
    """
    start, step = time.time_ns() // 1000 - days * DAY_US, days * DAY_US // count
    took: dict[str, float] = {}
    attaching = asyncio.Lock()
    waiting = [_Day(day, start, step, count, headers) for day in range(start // DAY_US, (start + step * count) // DAY_US + 1)]

    async def hand() -> None:
        connection = await asyncpg.connect(url)
        while waiting:
            await _make(connection, waiting.pop(0), attaching, took)
        await connection.close()

    await asyncio.gather(*(hand() for _ in range(HANDS)))
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO places VALUES ('bench', $1, 0)", count)
    began = time.monotonic()
    await connection.execute("VACUUM (ANALYZE) marks")
    await connection.execute("CHECKPOINT")
    took["marks looked through, all written out"] = time.monotonic() - began
    await connection.close()
    return took


class _Day:
    """A day's exchanges: those numbers whose start lies in it."""

    def __init__(self, day: int, start: int, step: int, count: int, headers: int) -> None:
        self.day, self.table = day, name("exchanges", day)
        self.first = max(0, -(-(day * DAY_US - start) // step))
        self.behind = min(count, -(-((day + 1) * DAY_US - start) // step))
        self._told = {"start": start, "step": step, "old": OLD, "headers": headers}

    @property
    def statement(self) -> str:
        return FILL.format(table=self.table, first=self.first, behind=self.behind, **self._told)


async def _make(connection: asyncpg.Connection, day: _Day, attaching: asyncio.Lock, took: dict[str, float]) -> None:
    began = time.monotonic()

    def told(part: str) -> None:
        nonlocal began
        took[part] = took.get(part, 0) + time.monotonic() - began
        began = time.monotonic()

    async with connection.transaction():  # of a table that the same transaction makes, no log is written
        await connection.execute(f"CREATE TABLE {day.table} (LIKE exchanges INCLUDING ALL EXCLUDING INDEXES)")
        await connection.execute(day.statement)
    told("rows")
    async with connection.transaction():
        await _index_marks(connection, day.table)
    told("marks")
    async with attaching:
        bounds = f"FROM ('{edge(day.day)}') TO ('{edge(day.day + 1)}')"
        began = time.monotonic()
        await connection.execute(f"ALTER TABLE exchanges ATTACH PARTITION {day.table} FOR VALUES {bounds}")
        told("indexes")
    await connection.execute(f"VACUUM (FREEZE, ANALYZE) {day.table}")
    told("looked through")


async def _index_marks(connection: asyncpg.Connection, table: str) -> None:
    """Rows lie in the order in which they were made, which is that of time."""
    cursor = await connection.cursor(f"SELECT id, marks FROM {table}")
    while rows := await cursor.fetch(AT_ONCE):
        made: Sequence[postings.Posting] = list(indexed(rows))
        await connection.copy_records_to_table("marks", records=made, columns=_MARKS)
