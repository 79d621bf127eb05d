"""Meshscribe: the audit log and the meter of AI inference on a service mesh."""
