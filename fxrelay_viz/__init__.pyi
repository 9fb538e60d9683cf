from . import elements as elements
from .app import view as view
from .opening import open_workspace as open_workspace
from .serve import serve as serve
