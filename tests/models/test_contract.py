"""The contract of back-ends: all that are registered keep it, and what breaks it is found."""

import itertools

import numpy as np
import pytest
import torch
from small_backbones import small
from torch import nn

from skuae.models import (
    ALIGNN,
    BACKBONES,
    CGCNN,
    Backbone,
    CrystalModule,
    ElementEmbedding,
    Inputs,
    MEGNet,
    check_backbone,
    decode_params,
    encode_params,
    same_backbone,
)
from skuae.models._layers import mean_over_sites


@pytest.mark.parametrize("kind", BACKBONES.values(), ids=BACKBONES)
def test_registered_back_ends_keep_the_contract(kind):
    check_backbone(small(kind))
    check_backbone(kind())


class Plain(Backbone):
    """A back-end without edges, that tests below break in one way each."""

    native_table = "cgcnn"
    native_frozen = True
    default_lr = 1e-3

    def __init__(self, width=4):
        self.width = width

    def inputs(self, crystals, *, merge=True):
        return Inputs(crystals.reduced_graph(4.0, merge=merge))

    def build(self, elements, n_outputs):
        return PlainModule(self, elements, n_outputs)


class PlainModule(CrystalModule):
    def __init__(self, spec, elements, n_outputs):
        super().__init__()
        self.elements, self.width = elements, spec.width
        self.first = nn.Linear(elements.n_dims, spec.width)
        self.head = nn.Linear(spec.width, n_outputs)

    @property
    def first_layer(self):
        return self.first

    def site_vectors(self, batch):
        return self.first(self.elements(batch))


NUMBER = itertools.count()


def broken(**parts):
    """Return a back-end like `Plain`, with other parts of its module."""
    module = type("Module", (PlainModule,), parts)
    name = f"Broken{next(NUMBER)}"  # a class is found again by its name
    return type(name, (Plain,), {"build": lambda self, elements, n: module(self, elements, n)})()


def mates(self, batch):
    v = PlainModule.site_vectors(self, batch)
    return v - v.mean(0)


def uncounted(self, batch):
    v = PlainModule.site_vectors(self, batch)
    return torch.zeros(len(batch), v.shape[1], dtype=v.dtype).index_add(0, batch.crystal, v)


def first_site(self, batch):
    v = PlainModule.site_vectors(self, batch)
    first = torch.searchsorted(batch.crystal, torch.arange(len(batch)))
    return v[first] + mean_over_sites(v, batch)


def twice(self, spec, elements, n_outputs):
    PlainModule.__init__(self, spec, elements, n_outputs)
    self.also = elements


def without_width(self, spec, elements, n_outputs):
    PlainModule.__init__(self, spec, elements, n_outputs)
    del self.width


def headless(self, batch):
    return PlainModule.forward(self, batch) + 1


def detached(self, batch):
    return self.first(self.elements(batch).detach())


def infinite(self, batch):
    return PlainModule.site_vectors(self, batch) / 0


def test_a_plain_one_keeps_it():
    check_backbone(Plain())
    check_backbone(broken())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (broken(site_vectors=mates), "depends on others in the batch"),
        (broken(embed=uncounted), "depends on whether equal sites are merged"),
        (broken(embed=first_site), "depends on the order of the sites"),
        (broken(__init__=twice), "one tensor under two names"),
        (broken(__init__=without_width), "lacks the attribute 'width'"),
        (broken(forward=headless), r"head\(embed\(batch\)\) differs"),
        (broken(site_vectors=detached), "no gradient reaches"),
        (broken(site_vectors=infinite), "not finite"),
        (broken(first_layer=property(lambda self: self.head)), "mat1 and mat2|shape"),
    ],
)
def test_what_breaks_it_is_found(spec, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        check_backbone(spec)


def test_specifications_that_break_it_are_found():
    class Forgets(Plain):
        def __init__(self, width=4):
            self.width = width + 1

    class Nameless(Plain):
        native_table = None

    class Bare(Plain):
        def inputs(self, crystals, *, merge=True):
            return crystals.graph(4.0)

    class Holds(Plain):
        def __init__(self, width=4, scale=None):
            self.width, self.scale = width, scale

    for spec, error, message in (
        (Forgets(), (ValueError, RuntimeError), "clone"),
        (Nameless(), TypeError, "native_table must be set"),
        (Bare(), TypeError, "must return skuae.models.Inputs"),
        (Holds(scale=nn.ReLU()), ValueError, "saved and read has other parameters"),
        (CGCNN, TypeError, "is no skuae.models.Backbone"),
    ):
        with pytest.raises(error, match=message):
            check_backbone(spec)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    check_backbone(Plain())
    assert torch.equal(torch.get_rng_state(), before)


def test_specifications_as_json():
    class Outer(Plain):
        def __init__(self, width=4, inner=None, several=(1, "a")):
            self.width, self.inner, self.several = width, inner, several

    spec = Outer(np.int64(3), Outer(inner=ALIGNN(7)), several=(1, None, CGCNN(5)))
    again = decode_params(encode_params({"spec": spec}))["spec"]
    assert same_backbone(again, spec)
    assert again.inner.inner.hidden_dim == 7
    assert isinstance(again.several, tuple)
    assert again.several[2].atom_dim == 5
    assert not same_backbone(Outer(inner=ALIGNN(7)), Outer(inner=ALIGNN(8)))
    assert not same_backbone(MEGNet(), CGCNN())


def test_weights_of_a_class_come_back_with_their_labels():
    params = {"class_weight": {0: 1.0, "a": 2.0, True: 3.0}, "none": None, "list": [1, [2.5]]}
    assert decode_params(encode_params(params)) == params


def test_a_back_end_that_is_not_there():
    saved = {"spec": {"backbone": "Gone", "module": "somewhere", "params": {}}}
    with pytest.raises(ValueError, match="back-end Gone of somewhere, which is not defined here"):
        decode_params(saved)


def test_elements_are_looked_up_in_one_module():
    elements = ElementEmbedding(torch.randn(118, 3), frozen=True)
    for kind in BACKBONES.values():
        module = small(kind).build(elements, 1)
        assert module.elements is elements
        assert not [p for p in module.parameters() if p.shape == (118, 3)]
