"""The bytes of an exchange become what they mean: who asked which model what, what came back, how many tokens, how fast."""

from collector.decode.captured import Captured, Decoded
from collector.decode.decoder import decode
from collector.decode.limits import DEFAULT, Limits

__all__ = ["DEFAULT", "Captured", "Decoded", "Limits", "decode"]
