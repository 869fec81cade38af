"""Work that ends its process or takes too long; worker processes import it by name, so that it imports little."""

import os
import time


def deadly(mol):
    """A standardiser that no process survives, for one molecule."""
    if mol.GetNumAtoms() == 7:
        os._exit(9)
    return mol


def endless(mol):
    """A standardiser that does not end, for one molecule."""
    if mol.GetNumAtoms() == 7:
        time.sleep(60)
    return mol


def sleepy(values):
    """Return the values, but for one that takes too long."""
    if "endless" in values:
        time.sleep(60)
    return list(values)
