"""Ask a neural network why: trace, canonize, annotate with rules, lower relevance into a graph."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
