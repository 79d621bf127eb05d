"""Rebuilds the events of a span of time from the journal, a file or a topic, which is only read: `meshscribe replay`."""
