"""A dense layer of PyTorch that fastbp computes, forward and backward: python embed_torch.py

PyTorch keeps the graph, the optimizer and the loss; fastbp's kernels compute f(x W + b) and its gradients on the tensors' own
memory, nothing is copied on the way in or out. Run, it checks the gradients of every activation by differences, and trains a
network of such layers beside one of torch's own.
"""
import argparse

import numpy as np
import torch
from torch.autograd.function import once_differentiable

import fastbp
from fastbp.activations import ACTIVATIONS

#: Most by which float32 losses of the two networks may differ after 20 steps: sums in another order, 1e-7 each, grow with
#: the steps.
TOLERANCE = 1e-5


class DenseFunction(torch.autograd.Function):
    """a = f(x W + b), with W (n_in, n_out) as fastbp has it. It can be differentiated once."""

    @staticmethod
    def forward(ctx, x, W, b, activation):
        x, W, b = x.detach(), W.detach(), b.detach()
        z = torch.empty(len(x), W.shape[1], dtype=W.dtype)
        a = fastbp.dense_forward(x, W, b, activation, z=z.numpy())
        ctx.save_for_backward(x, W, z)
        ctx.activation = activation
        return torch.from_numpy(a)

    @staticmethod
    @once_differentiable
    def backward(ctx, da):
        x, W, z = ctx.saved_tensors
        gradients = fastbp.dense_backward(x, W, da, ctx.activation, z)
        return *map(torch.from_numpy, gradients), None


class Dense(torch.nn.Module):
    """A layer like `torch.nn.Linear` with its activation, on the CPU.

    Parameters
    ----------
    n_in, n_out : int
    activation : str, default "identity"
        One of ``fastbp.activations.ACTIVATIONS``.
    dtype : torch.dtype, optional
        torch.float32 or torch.float64. Default: torch's.
    """

    def __init__(self, n_in, n_out, activation="identity", dtype=None):
        super().__init__()
        bound = 1 / np.sqrt(n_in)               # torch's own start
        self.W = torch.nn.Parameter(torch.empty(n_in, n_out, dtype=dtype).uniform_(-bound, bound))
        self.b = torch.nn.Parameter(torch.empty(n_out, dtype=dtype).uniform_(-bound, bound))
        self.activation = activation

    def forward(self, x):
        return DenseFunction.apply(x, self.W, self.b, self.activation)


def check_gradients(activation, n_samples=7, n_in=5, n_out=19):
    """Whether backward agrees with differences of forward, in float64."""
    generator = torch.Generator().manual_seed(0)
    x, W, b = (torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
               for shape in ((n_samples, n_in), (n_in, n_out), (n_out,)))
    return torch.autograd.gradcheck(lambda *arrays: DenseFunction.apply(*arrays, activation), (x, W, b))


def like(layer):
    """torch's own layer with the parameters of one of ours."""
    linear = torch.nn.Linear(*layer.W.shape, dtype=layer.W.dtype)
    with torch.no_grad():
        linear.weight.copy_(layer.W.T)
        linear.bias.copy_(layer.b)
    return linear


def train(net, X, y, n_steps):
    """The loss before each step of Adam."""
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=0.01), []
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(X), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="of training, on a batch of 256")
    n_steps = parser.parse_args(arguments).steps
    for activation in ACTIVATIONS:
        print(f"gradients of {activation:12} {'ok' if check_gradients(activation) else 'WRONG'}")
    torch.manual_seed(0)
    X, y = torch.randn(256, 20), torch.randint(3, (256,))
    first, last = Dense(20, 64, "relu"), Dense(64, 3)
    theirs = torch.nn.Sequential(like(first), torch.nn.ReLU(), like(last))
    ours, torchs = train(torch.nn.Sequential(first, last), X, y, n_steps), train(theirs, X, y, n_steps)
    difference = max(abs(a - b) for a, b in zip(ours, torchs))
    print(f"loss {ours[0]:.4f} -> {ours[-1]:.4f} in {n_steps} steps; torch's own layers are within {difference:.1e}")
    if difference > TOLERANCE:
        raise SystemExit(f"that is more than {TOLERANCE}")


if __name__ == "__main__":
    main()
