"""Rebuilds the events of a span of time from the journal's file, which is only read: `meshscribe replay`."""
