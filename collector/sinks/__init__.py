"""The sink: the one place where the pipeline writes its events. Next stop: the audit API and the relays read it."""
