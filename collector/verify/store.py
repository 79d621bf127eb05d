"""The SQL store against itself: SQLite's integrity_check, Postgres's amcheck; and the repair that loses nothing, of indexes."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from collector.sql_errors import retryable
from collector.verify import EXAMPLES, Finding

CHECK = "store"
_INDEXES = text(
    "SELECT c.oid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam"
    " JOIN pg_class t ON t.oid = i.indrelid WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid"
    " AND t.relnamespace = current_schema()::regnamespace ORDER BY 1"
)
_AMCHECK = text("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'")
_REMEDY = (
    "`meshscribe verify --repair` makes indexes anew, if these alone are damaged; else stop, keep a copy, and put a backup back or run"
    " `sqlite3 FILE .recover`: the journal waits meanwhile (docs/damage.md)"
)


async def sound(engine: AsyncEngine, *, repair: bool = False) -> list[Finding]:
    """What the database says of its own files. `repair`: indexes that are damaged are made anew, and looked at once more."""
    found = await _looked_at(engine)
    if repair and not found.ok:
        with retryable("store"):
            mended = await _mended(engine, found)
        if mended:
            again = await _looked_at(engine)
            return [again._replace(said=f"{again.said}; before, and repaired: {found.said}")]
    return [found]


async def _looked_at(engine: AsyncEngine) -> Finding:
    return await (_postgres(engine) if engine.dialect.name == "postgresql" else _sqlite(engine))


async def _sqlite(engine: AsyncEngine) -> Finding:
    subject = f"{engine.url.database} (integrity_check)"
    try:
        async with engine.connect() as connection:
            rows = [str(row[0]) for row in await connection.execute(text("PRAGMA integrity_check(100)"))]
    except DatabaseError as error:
        rows = [str(error.orig)]
    lines = [line for row in rows for line in row.splitlines() if line != "ok"]
    if not lines:
        return Finding(CHECK, subject, 0, "sound")
    return Finding(CHECK, subject, len(lines), f"{'; '.join(lines[:EXAMPLES])}: {_REMEDY}")


async def _postgres(engine: AsyncEngine) -> Finding:
    subject, broken = "indexes (amcheck)", []
    with retryable("amcheck"):
        async with engine.connect() as connection:
            if not (await connection.execute(_AMCHECK)).scalar():
                return Finding(CHECK, subject, 0, "not looked at: CREATE EXTENSION amcheck makes it possible")
            names = [row.name for row in await connection.execute(_INDEXES)]
    for name in names:
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT bt_index_check(CAST(:name AS regclass), true)"), {"name": name})
        except DatabaseError as error:
            broken.append(f"{name}: {str(error.orig).splitlines()[0]}")
    if broken:
        return Finding(CHECK, subject, len(broken), f"{'; '.join(broken[:EXAMPLES])}: `meshscribe verify --repair` makes them anew")
    return Finding(CHECK, subject, 0, f"{len(names)} are sound")


async def _mended(engine: AsyncEngine, found: Finding) -> bool:
    """Makes what is damaged anew, if that can lose nothing."""
    if engine.dialect.name != "postgresql":
        return await _mended_file(engine)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        for said in found.said.rpartition(": `")[0].split("; "):
            await connection.execute(text(f"REINDEX INDEX CONCURRENTLY {said.partition(': ')[0]}"))
    return True


async def _mended_file(engine: AsyncEngine) -> bool:
    """All or nothing: the pages of a damaged index may speak of those of a table, so the file is looked at before it counts."""
    async with engine.connect() as connection:
        try:
            await connection.execute(text("BEGIN IMMEDIATE"))
            await connection.execute(text("REINDEX"))
            sound = [row[0] for row in await connection.execute(text("PRAGMA integrity_check(1)"))] == ["ok"]
            await connection.execute(text("COMMIT" if sound else "ROLLBACK"))
        except DatabaseError as error:
            if isinstance(error, OperationalError):
                raise
            return False
        return sound
