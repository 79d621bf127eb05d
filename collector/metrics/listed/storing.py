"""Metrics of the way from the journal to the store: journal, pipeline, sink, partitions, dead letters, retention."""

from __future__ import annotations

from collector.metrics.metric import LISTENING, ON_PARTITIONS, PROCESSING, ListedCounter, ListedGauge, Role

# The journal of a process of its own.
JOURNAL_KEPT_BYTES = ListedGauge(
    name="meshscribe_journal_kept_bytes",
    unit="bytes",
    means="Payload bytes kept",
    act="Above half of `meshscribe_journal_quota_bytes`: the sink is away or too slow; see `sink` and `checkpoint` in /readyz.",
    roles=(Role.ALL,),
)
JOURNAL_QUOTA_BYTES = ListedGauge(
    name="meshscribe_journal_quota_bytes",
    unit="bytes",
    means="Payload bytes kept at most",
    act="The setting `journal.quota_bytes`, to compare with.",
    roles=(Role.ALL,),
)
JOURNAL_WAITING_BYTES = ListedGauge(
    name="meshscribe_journal_waiting_bytes",
    unit="bytes",
    means="Memory taken by entries that are not durable yet",
    act="Near `ingest.max_waiting_bytes`: the disk, or Kafka, is slower than what comes; then messages are refused.",
    roles=LISTENING,
)
JOURNAL_LAST_POSITION = ListedGauge(
    name="meshscribe_journal_last_position",
    unit="positions",
    means="Position of the newest durable entry",
    act="Minus `meshscribe_pipeline_position`: entries that wait. If that grows, see `pipeline` and `sink` in /readyz.",
    roles=(Role.ALL,),
)
JOURNAL_FLOOR_POSITION = ListedGauge(
    name="meshscribe_journal_floor_position",
    unit="positions",
    means="Position up to which entries are forgotten",
    act="Stands still while entries come: no checkpoint can be made; see `checkpoint` in /readyz.",
    roles=(Role.ALL,),
)
JOURNAL_DAMAGES = ListedGauge(
    name="meshscribe_journal_damages",
    unit="times",
    means="Times since the start that the file was found cut, damaged or not to fit the store",
    act="Above 0: read the log and docs/damage.md; look for what damaged the disk.",
    roles=(Role.ALL,),
)

# What waits for Kafka.
JOURNAL_STALLED_SECONDS = ListedGauge(
    name="meshscribe_journal_stalled_seconds",
    unit="seconds",
    means="How long the slowest partition has been waiting for Kafka",
    act="Above 2: Kafka takes nothing, and tap batches are refused. Look at the brokers.",
    roles=(Role.ALL_ON_KAFKA, Role.RECEIVE),
)
JOURNAL_APPENDED = ListedGauge(
    name="meshscribe_journal_appended",
    unit="entries",
    means="Entries that became durable since the start",
    act="Stands still while proxies send: see `journal` in /readyz.",
    roles=(Role.ALL_ON_KAFKA, Role.RECEIVE),
)

# The pipeline and its sink.
PIPELINE_POSITION = ListedGauge(
    name="meshscribe_pipeline_position",
    unit="positions",
    means="Position of the last journal entry correlated",
    act="Stands still while `meshscribe_journal_last_position` grows: see `pipeline` and `sink` in /readyz.",
    roles=(Role.ALL,),
)
SINK_FAILING = ListedGauge(
    name="meshscribe_sink_failing",
    unit="0 or 1",
    means="1 while the sink takes no events",
    act="1 for a minute: /readyz (`sink`) says why. The journal keeps what comes.",
    roles=(Role.ALL,),
)
SINK_WAITING_SECONDS = ListedGauge(
    name="meshscribe_sink_waiting_seconds",
    unit="seconds",
    means="How long the store has been waited for; what hangs answers nothing",
    act="Above 4: the store hangs: stopped, out of I/O, behind a lock, or the network swallows packets.",
    roles=(Role.ALL,),
)
OPEN_EXCHANGES = ListedGauge(
    name="meshscribe_open_exchanges",
    unit="exchanges",
    means="Exchanges that are not closed yet",
    act="Grows beyond what runs at a time: one of the two witnesses tells nothing (docs/install.md).",
    roles=(Role.ALL,),
)
OPEN_BYTES = ListedGauge(
    name="meshscribe_open_bytes",
    unit="bytes",
    means="Bytes that open exchanges hold",
    act="Near `correlate.open_bytes`: exchanges are closed early. Give the process more memory and raise it, or find who sends so much.",
    roles=(Role.ALL,),
)
CHECKPOINTS_FAILED = ListedGauge(
    name="meshscribe_checkpoints_failed",
    unit="checkpoints",
    means="Checkpoints since the start that could not be made",
    act="Grows: the journal cannot be shortened; /readyz (`checkpoint`) says why.",
    roles=(Role.ALL,),
)
_UNSTORED = "Above a minute: what was received is not stored. See `{}` in /readyz; if that is ok, the process has too little CPU."
OLDEST_UNSTORED_SECONDS = ListedGauge(
    name="meshscribe_pipeline_oldest_unstored_seconds",
    unit="seconds",
    means="Age of the oldest entry that is not stored yet",
    act=_UNSTORED.format("sink"),
    roles=(Role.ALL,),
)
PARTITION_UNSTORED_SECONDS = ListedGauge(
    name="meshscribe_pipeline_oldest_unstored_seconds",
    unit="seconds",
    means="Age of the oldest entry that is not stored yet",
    act=_UNSTORED.format("TOPIC/PARTITION"),
    labels={"topic": "`kafka.raw_topic`", "partition": "those that this process works on"},
    roles=ON_PARTITIONS,
)

# Partitions of the raw topic: a process gains and loses them.
_PARTITION = {"topic": "`kafka.raw_topic`", "partition": "those that this process works on"}
PARTITION_LAG = ListedGauge(
    name="meshscribe_partition_lag",
    unit="records",
    means="Records not processed yet",
    act="Grows for minutes: start more of role `process`, at most one for each partition.",
    labels=_PARTITION,
    roles=ON_PARTITIONS,
)
PARTITION_FAILING = ListedGauge(
    name="meshscribe_partition_failing",
    unit="0 or 1",
    means="1 while it does not get on",
    act="1 for a minute: /readyz says why, by partition.",
    labels=_PARTITION,
    roles=ON_PARTITIONS,
)
PARTITION_LOST = ListedGauge(
    name="meshscribe_partition_lost",
    unit="records",
    means="Records that were gone or could not be read, and were not processed",
    act="Above 0: they are lost. The log says which, and why: retention was shorter than the delay (docs/scale-out.md), the topic's log is"
    " damaged (docs/damage.md), or another version wrote them.",
    labels=_PARTITION,
    roles=ON_PARTITIONS,
)

# What the pipeline gave up. Every stage is told from the start, so that the first letter is an increase.
DEAD_LETTERS = ListedCounter(
    name="meshscribe_dead_letters_total",
    unit="letters",
    means="Dead letters of the pipeline since the start",
    act="Grows: `meshscribe dead-letters list` shows why; mend it and send them again (docs/dead-letters.md).",
    labels={"stage": ("journal", "feed", "redact", "decode", "enrich", "describe", "row")},
    roles=PROCESSING,
)
SINK_DEAD_LETTERS = ListedGauge(
    name="meshscribe_sink_dead_letters",
    unit="letters",
    means="All of them together",
    act="The sum of `meshscribe_dead_letters_total`.",
    roles=PROCESSING,
)
