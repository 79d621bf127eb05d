"""From the journal to the sink: one entry after the other through correlate, redact, decode, enrich and describe."""
