from . import composites as composites
from . import rules as rules
