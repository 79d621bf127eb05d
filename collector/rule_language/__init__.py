"""The language of redaction rules: paths into JSON, regular expressions, and the marks that stand for what was hidden.

Pure, and of no stage: the settings check rules with it, `collector/redact` applies them.
"""
