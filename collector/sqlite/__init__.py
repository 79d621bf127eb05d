"""What every SQLite file needs, the journal's and the store's: its log after a crash, and an end for what takes too long."""
