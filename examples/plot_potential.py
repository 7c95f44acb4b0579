"""
Energies, forces, relaxation and molecular dynamics
===================================================

`CrystalPotential` learns energies, forces and stresses of crystals. Here the labels come from
ASE's effective medium theory (EMT), which takes milliseconds. With labels of density functional
theory, the code is the same.
"""

# %%
# Labels
# ------
# Cells of Al, Ni and Cu with four atoms, one of which may be of another element. Cells are strained
# and atoms displaced. ``fit(X)`` without labels reads what the calculators of ASE Atoms hold.
import matplotlib.pyplot as plt
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet

from skuae.analysis import ParityDisplay
from skuae.potentials import CHGNet, CrystalPotential

rng = np.random.default_rng(0)
ELEMENTS = ["Al", "Ni", "Cu"]


def displaced():
    """Return a strained cell with displaced atoms and its labels."""
    atoms = bulk(rng.choice(ELEMENTS), cubic=True)
    atoms.symbols[0] = rng.choice(ELEMENTS)
    strain = np.eye(3) + rng.normal(scale=0.02, size=(3, 3))
    atoms.set_cell(atoms.cell @ strain, scale_atoms=True)
    atoms.rattle(0.1, rng=rng)
    atoms.calc = EMT()
    atoms.get_stress()  # computes energy and forces, too
    return atoms


cells = [displaced() for _ in range(200)]
train, test = cells[:150], cells[150:]

# %%
# A fit
# -----
# A small CHGNet. `evaluate` shows its errors beside those of a constant: energies of the elements,
# and zero for forces and stresses.
small = CHGNet(dim=16, n_blocks=2, n_radial=9, n_angular=9, n_readout=1, cutoff=4.5)
potential = CrystalPotential(small, max_epochs=35, batch_size=8, lr=1e-2, random_state=0)
potential.fit(train)
errors = potential.evaluate(test)
print(errors.filter(like="MAE").dropna(axis="columns").round(3).T.to_string())

# %%
# Parity of energies and forces
# -----------------------------
# Displays take the energies per atom, and all components of the forces.
table = potential.predict_all(test)
sizes = np.array([len(atoms) for atoms in test])
energies = np.array([atoms.get_potential_energy() for atoms in test])
forces = np.concatenate([atoms.get_forces() for atoms in test])
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
ParityDisplay.from_predictions(
    energies / sizes, table["energy"] / sizes, quantity="energy", unit="eV/atom"
).plot(axes[0])
ParityDisplay.from_predictions(
    forces.ravel(), np.concatenate(table["forces"]).ravel(), quantity="force", unit="eV/Å"
).plot(axes[1])
plt.show()

# %%
# Relaxation of 20 crystals
# -------------------------
# `relax` moves atoms and cells of all crystals at once. The table says how many steps each crystal
# took and why it ended. To see the energies on the way, we run it with several limits of steps.
steps = [0, 2, 5, 10, 20, 40]
energy = [potential.relax(test[:20], fmax=0.02, max_steps=n).table["energy"] for n in steps]
relaxed = potential.relax(test[:20], fmax=0.02)
print(relaxed.table.round(3).head().to_string())
print(f"converged: {relaxed.table['converged'].sum()} of 20")

figure, ax = plt.subplots(figsize=(5.5, 4))
above = (np.array(energy) - relaxed.table["energy"].to_numpy()) / sizes[:20]
ax.plot(steps, 1000 * above, color="tab:blue", alpha=0.5)
ax.set(xlabel="steps", ylabel="energy above the end (meV/atom)")
plt.show()

# %%
# Molecular dynamics
# ------------------
# `calculator` works with all of ASE. Without a thermostat, the total energy must stay constant. It
# does, while kinetic and potential energy change: forces are the derivative of the energy, and the
# energy is smooth where neighbours come and go.
atoms = bulk("Cu", cubic=True) * (2, 2, 2)
atoms.calc = potential.calculator()
spread = np.sqrt(atoms.get_masses()[:, None] * units.kB * 600)  # of momenta at 600 K
atoms.set_momenta(spread * rng.standard_normal((len(atoms), 3)))
run = VelocityVerlet(atoms, timestep=2 * units.fs)
kinetic, total = [], []
run.attach(lambda: kinetic.append(atoms.get_kinetic_energy() / len(atoms)))
run.attach(lambda: total.append(atoms.get_total_energy() / len(atoms)))
run.run(150)
picoseconds = 0.002 * np.arange(len(total))
drift = np.polyfit(picoseconds, 1000 * np.array(total), 1)[0]
print(f"drift of the total energy: {drift:.3f} meV/atom per ps")
print(f"neighbours were searched {atoms.calc.n_searches} times in {len(total)} steps")

figure, ax = plt.subplots(figsize=(5.5, 4))
ax.plot(picoseconds, 1000 * (np.array(kinetic) - kinetic[0]), label="kinetic energy")
ax.plot(picoseconds, 1000 * (np.array(total) - total[0]), label="total energy")
ax.set(xlabel="time (ps)", ylabel="change (meV/atom)")
ax.legend()
plt.show()
