"""Instruments that answer in words: each measures one thing about a training, and says what stands out.

A word's threshold comes from theory ("rows sum to 1"), never from the cases it is to tell apart.
"""

from cllm_lib.faces import face

__getattr__, __dir__, __all__ = face(__name__, {"catalogue": "ALL REFUSED Instrument Reading Word instrument words_for"})
