import pytest

from tests.helpers.bad_inputs import Context


@pytest.fixture
def context(smiles, profiles, tiny, fitted, model_file, tmp_path):
    """What a case is made of."""
    return Context(smiles, profiles, tiny, fitted, model_file, tmp_path)
