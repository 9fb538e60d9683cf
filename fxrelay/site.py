"""One call of an operator in the relevance program that is being written.

Rules and operators run on `torch.fx.Proxy` values, so what they do is what the program records.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import fx
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.meta import PATH

if TYPE_CHECKING:
    from fxrelay.operators import Operator
    from fxrelay.program import Program


@dataclass(frozen=True)
class Linear:
    """How a linear operator runs with other inputs and weights.

    Attributes
    ----------
    apply : callable
        ``(x, w, b) -> z``, where b may be None.
    pull : callable
        ``(s, w, x) -> Jᵀs``, the transpose of ``apply`` in x.
    weight, bias : Proxy or None
        None as weight: the operator has fixed weights >= 0, and `apply` ignores `w`. The bias is
        shaped so that it broadcasts to the output.
    taps : int
        How many products meet in one output.
    constant : callable, optional
        ``([(value, c, w), ...], x) -> z``: the sum of c times the products of inputs that have one
        value in each channel, of shape () or (channel,), in the shape of one sample.
    uniform : Linear, optional
        The operator with one weight everywhere, a number.
    """

    apply: Callable[[Any, Any, Any], Any]
    pull: Callable[[Any, Any, Proxy], Any]
    weight: Proxy | None = None
    bias: Proxy | None = None
    taps: int = 1 << 30
    constant: "Callable[[Sequence[tuple[Any, float, Proxy]], Proxy], Any] | None" = None
    uniform: "Linear | None" = None


class Batch(NamedTuple):
    """The axis of the samples; `minor`: each comes after others that a reshape put before it.

    An axis may hold each sample several times over: heads, windows, frames.
    """

    axis: int = 0
    minor: bool = False


@dataclass
class Site:
    """A node of the model, and where its values stand in the program.

    Attributes
    ----------
    node : fx.Node
        The node of the annotated graph.
    operator : Operator
        Its row of the operator table.
    args : tuple
        Its canonical arguments, tensors as proxies of the forward pass.
    output : Proxy
        Its output.
    carriers : tuple of fx.Node
        The operands that relevance goes to, in order; constants are among them as sinks.
    inputs : tuple of Proxy
        Their values.
    nonnegative : bool
        Whether the first input is known to be >= 0.
    positive : bool
        Whether relevance can only sit where the output is > 0.
    batch : Batch
        Where the output has its samples.
    """

    node: fx.Node
    operator: "Operator"
    args: tuple[Any, ...]
    output: Proxy
    carriers: tuple[Any, ...]
    inputs: tuple[Proxy, ...]
    program: "Program"
    nonnegative: bool = False
    positive: bool = False
    kwargs: dict[str, Any] = field(default_factory=dict)
    batch: Batch = field(default_factory=Batch)

    @property
    def name(self) -> str:
        """Qualified path of the node."""
        return str(self.node.meta[PATH])

    @property
    def target(self) -> Any:
        """The canonical call."""
        return self.node.target

    def part(self, i: int) -> Proxy:
        """Write element `i` of an output that is a tuple."""
        return self.call(operator.getitem, self.output, i)

    def fitted(self, relevance: Proxy, i: int) -> Proxy:
        """Write relevance in the shape of input `i`, which may have been broadcast.

        A constant keeps the shape of the output: its sink is booked sample by sample.
        """
        if PATH not in self.carriers[i].meta:
            return relevance
        return self.call(kernels.sum_to, relevance, self.inputs[i])

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Proxy:
        """Write the call ``function(*args)`` into the program."""
        return self.program.call(function, *args, **kwargs)

    def adjoint(self, relevance: Any) -> tuple[Proxy | None, ...]:
        """Write the vector-Jacobian product, one result per input."""
        return tuple(self.operator.adjoint(self, relevance))

    def linear(self) -> Linear:
        """Return the operator as a linear map, if it is one."""
        if self.operator.linear is None:
            raise TypeError(f"{self.name}: {self.operator.name} is no linear operator.")
        return self.operator.linear(self)

    def book(self, sink: str, amount: Proxy, gain: float = 1.0) -> None:
        """Book relevance that no input gets; `amount` has the samples where the output has them."""
        self.program.book(sink, amount, self.batch, gain)


Adjoint = Callable[[Site, Any], Sequence[Proxy | None]]
