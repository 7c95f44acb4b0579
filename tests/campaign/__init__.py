"""Fault campaigns: mutated inputs, kills, memory and concurrent downloads, from a seed and a size.

``PYTHONPATH=tests python -m campaign --help`` says how to run them; CONTRIBUTING.md says when.
"""
