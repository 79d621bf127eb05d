"""Who may look at the log, at what of it, and who has looked. Next stop: collector/audit asks it before it answers."""
