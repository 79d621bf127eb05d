"""The bytes of an exchange become what they mean: who asked which model what, what came back, how many tokens, how fast."""

from collector.decode.decoder import decode
from collector.decode.limits import DEFAULT, Limits
from collector.decode.stage import decode_redacted
from collector.messages.captured import Captured, Decoded, Tail

__all__ = ["DEFAULT", "Captured", "Decoded", "Limits", "Tail", "decode", "decode_redacted"]
