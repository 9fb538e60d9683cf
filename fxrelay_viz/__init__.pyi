from . import elements as elements
from .app import view as view
from .serve import serve as serve
