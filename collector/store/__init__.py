"""The SQL store: its tables, rows and partitions, on SQLite and Postgres. Sinks and relays write it, the audit API reads it."""
