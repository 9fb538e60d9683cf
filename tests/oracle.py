"""The slow oracle: every rule of the literature in dense matrices from the Jacobian, float64.

Independent of fxrelay: `dense` gives the matrix of any linear operator with given weights by
differentiating it, and each rule is then written as its paper writes it, per sample.
"""

import torch


def stabilize(d, epsilon=1e-6):
    return d + epsilon * torch.where(d >= 0, 1.0, -1.0).to(d)


def dense(apply, w, x):
    """Matrix (out, in) of ``apply(., w)`` for one sample."""
    jacobian = torch.func.jacrev(lambda t: apply(t[None], w)[0])(x)
    return jacobian.reshape(-1, x.numel())


class Operator:
    """One sample of a linear operator: matrices for modified weights, input, bias, output."""

    def __init__(self, apply, x, w, b, z):
        self.apply, self.w, self.shape = apply, w, x
        self.x, self.z = x.reshape(-1), z.reshape(-1)
        self.b = torch.zeros_like(self.z) if b is None else b.expand(z.shape).reshape(-1)

    def matrix(self, w):
        return dense(self.apply, w, self.shape)

    @property
    def parts(self):
        w = self.matrix(self.w)
        return w, self.matrix(self.w.clamp(min=0)), self.matrix(self.w.clamp(max=0))


def epsilon(op, r, epsilon=1e-6):
    w = op.matrix(op.w)
    return op.x * (w.T @ (r / stabilize(w @ op.x + op.b, epsilon)))


def z_plus(op, r):
    return alpha_beta(op, r, 1.0, 0.0)


def alpha_beta(op, r, alpha=2.0, beta=1.0):
    w, x = op.matrix(op.w), op.x
    contributions = w * x[None, :]
    up, down = contributions.clamp(min=0), contributions.clamp(max=0)
    s_up = r / stabilize(up.sum(1) + op.b.clamp(min=0))
    s_down = r / stabilize(down.sum(1) + op.b.clamp(max=0))
    return alpha * (up.T @ s_up) - beta * (down.T @ s_down)


def gamma(op, r, gamma=0.25):
    w, wp, wn = op.parts
    xp, xn = op.x.clamp(min=0), op.x.clamp(max=0)
    up = (w + gamma * wp) * xp + (w + gamma * wn) * xn
    down = (w + gamma * wn) * xp + (w + gamma * wp) * xn
    d_up = up.sum(1) + op.b + gamma * op.b.clamp(min=0)
    d_down = down.sum(1) + op.b + gamma * op.b.clamp(max=0)
    s_up = torch.where(op.z >= 0, r, 0.0) / stabilize(d_up)
    s_down = torch.where(op.z < 0, r, 0.0) / stabilize(d_down)
    return up.T @ s_up + down.T @ s_down


def z_box(op, r, low, high):
    w, wp, wn = op.parts
    low, high = (torch.as_tensor(v, dtype=op.x.dtype).expand(op.x.shape) for v in (low, high))
    contributions = w * op.x - wp * low - wn * high
    return contributions.T @ (r / stabilize(contributions.sum(1)))


def w_square(op, r):
    squares = op.matrix(op.w**2)
    return squares.T @ (r / stabilize(squares.sum(1) + op.b**2))


def flat(op, r):
    ones = op.matrix(torch.ones_like(op.w))
    return ones.T @ (r / stabilize(ones.sum(1)))


def gradient(op, r):
    return op.matrix(op.w).T @ r


RULES = {
    "epsilon": epsilon, "z_plus": z_plus, "alpha_beta": alpha_beta, "gamma": gamma,
    "z_box": z_box, "w_square": w_square, "flat": flat, "gradient": gradient,
}  # fmt: skip
