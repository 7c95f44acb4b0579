"""bfloat16 for vectors of edges and angles: what is short, what is not, and how far off it is."""

import pytest
import torch
from small_backbones import SMALL
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from skuae.models import BACKBONES, ElementEmbedding, set_precision

SHORT = [name for name, kind in BACKBONES.items() if kind().has_bf16]


class Products(TorchDispatchMode):
    """Collect the dtypes of all matrix products."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "mm" in func.__name__:
            self.dtypes.add(args[0].dtype)
        return func(*args, **(kwargs or {}))

    def __enter__(self):
        self.dtypes = set()
        return super().__enter__()


@pytest.fixture
def make():
    def make(name):
        torch.manual_seed(0)
        return SMALL[name].build(ElementEmbedding(torch.randn(118, 6), False), 2)

    return make


def step(module, batch):
    """Outputs, gradient and buffers of one step of training."""
    target = torch.linspace(-1, 1, 2 * len(batch)).view(-1, 2)
    with Products() as products:
        out = module.train()(batch)
        F.mse_loss(out, target).backward()
    gradient = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
    return out.detach(), gradient, products.dtypes


def test_some_back_ends_have_it():
    assert {"alignn", "cogn", "megnet"} <= set(SHORT)


@pytest.mark.parametrize("name", SHORT)
def test_a_step_is_that_of_single_precision(name, make, pack, sample):
    batch = pack(sample[:30], SMALL[name], torch.float32)
    single, short = make(name), make(name)
    set_precision(short, "bf16")
    out, gradient, dtypes = step(single, batch)
    out_short, gradient_short, dtypes_short = step(short, batch)
    assert dtypes == {torch.float32}
    assert dtypes_short == {torch.float32, torch.bfloat16}
    assert not torch.equal(out, out_short)
    torch.testing.assert_close(out_short, out, rtol=0, atol=0.03 * out.std().item())
    assert (gradient_short - gradient).norm() < 0.01 * gradient.norm()
    for value in (out_short, *short.state_dict().values(), *(p.grad for p in short.parameters())):
        assert value is None or value.dtype in (torch.float32, torch.int64)


@pytest.mark.parametrize("name", SHORT)
def test_back_to_single_precision(name, make, pack, sample):
    batch = pack(sample[:5], SMALL[name], torch.float32)
    module = make(name).eval()
    before = module(batch)
    set_precision(module, "bf16")
    assert not torch.equal(module(batch), before)
    set_precision(module, "float32")
    assert torch.equal(module(batch), before)


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - set(SHORT)))
def test_others_heed_nothing(name, make, pack, sample):
    batch = pack(sample[:5], SMALL[name], torch.float32)
    module = make(name).eval()
    before = module(batch)
    set_precision(module, "bf16")
    assert torch.equal(module(batch), before)


@pytest.mark.parametrize("name", SHORT)
def test_what_is_kept_for_the_backward_pass_is_shorter(name, make, pack, sample):
    """Most of the memory of a step is that of edges and angles."""
    batch = pack(sample, SMALL[name].__class__(), torch.float32)
    kept = {}
    for precision in ("float32", "bf16"):
        torch.manual_seed(0)
        module = SMALL[name].__class__().build(ElementEmbedding(torch.randn(118, 6), False), 1)
        set_precision(module, precision)
        seen = {}

        def pack_hook(x, seen=seen):
            seen[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack_hook, lambda x: x):
            module(batch)
        kept[precision] = sum(seen.values())
    assert kept["bf16"] < 0.8 * kept["float32"]


def test_unknown_precision(make):
    with pytest.raises(ValueError, match='must be "float32" or "bf16"; got \'bfloat16\''):
        set_precision(make("alignn"), "bfloat16")
