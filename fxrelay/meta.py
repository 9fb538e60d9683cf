"""Keys under which fxrelay keeps what it knows of a node in ``node.meta``."""

from typing import Final

#: qualified path, as users address the node; only tensors that depend on an input have one
PATH: Final = "path"
#: the integers of a shape
SIZE: Final = "size"
#: the rule, and the row of the composite that gave it
RULE: Final = "rule"
ROW: Final = "row"
#: on graph modules: the log of rewrites
REWRITES: Final = "rewrites"
#: on placeholders: how many axes the input has, where an example told
RANK: Final = "rank"
#: on graph modules: arguments that were no tensors when the model was traced
FIXED: Final = "fixed"
