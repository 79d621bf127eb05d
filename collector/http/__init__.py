"""Serving HTTP: bound listeners and their connections. Receivers, audit API and probes stand on it."""
