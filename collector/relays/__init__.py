"""Relays copy events on from the sink, each in its own task, at its own pace and from its own place. Nothing waits for them."""
