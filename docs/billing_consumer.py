"""Bills tokens, each exchange once: python billing_consumer.py SERVERS DATABASE [TOPIC]  (docs/billing.md explains it)."""

import asyncio
import json
import sqlite3
import sys

from aiokafka import AIOKafkaConsumer

TABLE = "CREATE TABLE IF NOT EXISTS charges (exchange TEXT PRIMARY KEY, revision INTEGER, event TEXT, payer TEXT, tokens INTEGER)"
# The same event again changes nothing, a later revision replaces the charge, an earlier one that comes late is passed over.
CHARGE = """INSERT INTO charges VALUES (?, ?, ?, ?, ?) ON CONFLICT (exchange) DO UPDATE SET revision = excluded.revision,
            event = excluded.event, payer = excluded.payer, tokens = excluded.tokens WHERE excluded.revision > revision"""


async def bill(servers: str, database: str, topic: str = "meshscribe.usage") -> None:
    charges = sqlite3.connect(database)
    charges.execute(TABLE)
    reading = {"isolation_level": "read_committed", "auto_offset_reset": "earliest", "enable_auto_commit": False}
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers, group_id="billing", **reading) as consumer:
        while True:
            batch = await consumer.getmany(timeout_ms=1000)
            with charges:  # one transaction, and only then the offsets: a crash in between repeats events, which changes nothing
                for record in [record for records in batch.values() for record in records]:
                    event, usage = dict(record.headers)["ce_id"].decode(), json.loads(record.value)
                    payer = f"{usage.get('namespace')}/{usage.get('service')}"
                    tokens = usage["usage"].get("total_tokens", {}).get("value") if usage["hop"]["billable"] else 0
                    if charges.execute(CHARGE, (usage["exchange"], usage["revision"], event, payer, tokens)).rowcount:
                        print(f"{payer}: {tokens} tokens for {usage['exchange']} (revision {usage['revision']})", flush=True)
            if batch:
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(bill(*sys.argv[1:]))
