"""Servers that tests of several folders share, so that a session starts each of them once, and only if a test asks for it."""

pytest_plugins = ["tests.support.kafka"]
