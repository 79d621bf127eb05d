"""The nouns: what one stage hands to the next. No stage's code and no I/O; every stage may import from here."""
