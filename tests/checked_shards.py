"""What the page "What skuae checks" says about shards; see `checked_inputs`."""

import contextlib
from pathlib import Path

import numpy as np

from skuae.datasets import make_toy_crystals, open_shards, write_shards

TOY = make_toy_crystals(12, random_state=0)
ROWS = list(TOY.structures)


def write(X=ROWS, y=TOY.target, folder="shards", **options):
    """Write shards of four crystals."""
    return write_shards(X, y, folder, shard_size=4, **options)


def changed():
    """Read a shard whose last byte was changed."""
    write()
    path = Path("shards/shard-00001.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return open_shards("shards").crystals


def edited():
    """Open shards whose list counts fewer crystals than there were."""
    write()
    path = Path("shards/manifest.json")
    path.write_text(path.read_text().replace('"crystals": 4', '"crystals": 3'))
    return open_shards("shards")


def exchanged():
    """Read a shard that was taken from another folder."""
    write()
    write(ROWS[::-1], folder="other")
    name = "shard-00001.safetensors"
    Path("shards", name).write_bytes(Path("other", name).read_bytes())
    return open_shards("shards").crystals


def interrupted(then):
    """Stop a writing in its third shard, then call a function."""
    with contextlib.suppress(ValueError):
        write([*ROWS[:9], "nothing", *ROWS[10:]])
    return then()


def appended_in_part():
    """Stop an append in its third shard, then open what was there before."""
    write()
    with contextlib.suppress(ValueError):
        write([*ROWS[:9], "nothing", *ROWS[10:]], append=True)
    return len(open_shards("shards")) == 12


SHARDS = {
    'a structure that cannot be read, with `on_error="skip"`': lambda _: (
        write([*ROWS[:9], "nothing", *ROWS[10:]], on_error="skip").errors["row"].tolist() == [9]
    ),
    "a shard that was changed": lambda _: changed(),
    "a list of shards that was changed": lambda _: edited(),
    "a shard of another folder": lambda _: exchanged(),
    "shards whose writing was interrupted, to be opened": lambda _: interrupted(
        lambda: open_shards("shards")
    ),
    "the same call after an interruption": lambda _: interrupted(lambda: len(write()) == 12),
    "another source after an interruption": lambda _: interrupted(lambda: write(ROWS[::-1])),
    "other labels after an interruption, in the first shard": lambda _: interrupted(
        lambda: write(y=[99.0, *TOY.target[1:]])
    ),
    "a second writer to the same folder": lambda _: write(write(iter([row])) for row in ROWS),
    "a folder that has shards, without `append=True`": lambda _: write() and write(),
    "names of classes behind numbers": lambda _: (
        write() and write(y=np.array([*"ab"] * 6), append=True)
    ),
    "the name of a class with a NUL character": lambda _: write(y=[*"ab", "a\0"] * 4),
    "formulas in place of structures": lambda _: write(["NaCl", "KCl"] * 6),
    "crystals without ids behind crystals with ids": lambda _: (
        write(TOY.structures) and write(append=True)
    ),
    "an append that fails in its third shard, to be opened": lambda _: appended_in_part(),
    "the name of a label, where X is a list": lambda _: write(y="band_gap"),
    "integers in one shard, floats in the next": lambda _: (
        write(y=iter([1] * 4 + [0.5] * 8)).target.tolist() == [1.0] * 4 + [0.5] * 8
    ),
    "more labels than structures": lambda _: write(ROWS[:7]),
}
