import numpy as np
import pytest
import torch

from mocop_sklearn.nn._losses import contrastive_logits, info_nce


def unit_vectors(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, d, generator=generator), dim=1)


def loss(molecules, profiles, temperature=0.1, groups=None):
    groups = torch.arange(len(molecules)) if groups is None else torch.as_tensor(groups)
    return info_nce(contrastive_logits(molecules, profiles, torch.tensor(1 / temperature), groups))


def numpy_info_nce(molecules, profiles, temperature, groups):
    """Mean over rows and columns of -log softmax at the own partner; other rows of the same group are left out."""
    s = molecules.double().numpy() @ profiles.double().numpy().T / temperature
    terms = []
    for i in range(len(s)):
        others = [j for j in range(len(s)) if j == i or groups[j] != groups[i]]
        terms.append(np.log(np.exp(s[i, others]).sum()) - s[i, i])
        terms.append(np.log(np.exp(s[others, i]).sum()) - s[i, i])
    return np.mean(terms)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("groups", [range(9), [0, 1, 1, 2, 3, 3, 3, 4, 5], [0] * 9])
def test_agrees_with_numpy(temperature, groups):
    m, p = unit_vectors(9, 4), unit_vectors(9, 4, seed=1)
    expected = numpy_info_nce(m, p, temperature, list(groups))
    assert loss(m, p, temperature, list(groups)).item() == pytest.approx(expected, rel=1e-5)


def test_logits_are_scaled_cosines():
    m, p = unit_vectors(5, 3), unit_vectors(5, 3, seed=1)
    logits = contrastive_logits(m, p, torch.tensor(20.0), torch.arange(5))
    torch.testing.assert_close(logits, 20 * m @ p.T)


def test_rows_of_one_molecule_are_no_negatives():
    m, p = unit_vectors(4, 3), unit_vectors(4, 3, seed=1)
    logits = contrastive_logits(m, p, torch.tensor(10.0), torch.tensor([7, 3, 7, 1]))
    masked = logits.isinf().nonzero().tolist()
    assert masked == [[0, 2], [2, 0]]
    assert (logits[logits.isinf()] < 0).all()


def test_a_batch_of_one_molecule_teaches_nothing():
    m, p = unit_vectors(3, 4).requires_grad_(), unit_vectors(3, 4, seed=1)
    value = loss(m, p, groups=[5, 5, 5])
    value.backward()
    assert value.item() == 0
    assert m.grad.eq(0).all()


def test_reference_value_of_two_orthogonal_pairs():
    """Own cosine 1, other cosine 0, scale 10: log(1 + exp(-10))."""
    assert loss(torch.eye(2), torch.eye(2)).item() == pytest.approx(np.log1p(np.exp(-10)), rel=1e-3)


def test_extremes():
    n = 64
    m = torch.eye(n)
    assert loss(m, m).item() < 0.01
    assert loss(m, m.roll(1, dims=0)).item() > 9  # each partner is as far away as any, a wrong one is near
    assert loss(m, torch.ones(n, n) / 8).item() == pytest.approx(np.log(n), rel=1e-5)


def test_permutations_of_the_batch_do_not_matter():
    m, p, groups = unit_vectors(10, 5), unit_vectors(10, 5, seed=1), torch.tensor([0, 1, 2, 2, 3, 4, 5, 5, 5, 6])
    order = torch.randperm(10, generator=torch.Generator().manual_seed(2))
    assert loss(m, p, 0.1, groups).item() == pytest.approx(loss(m[order], p[order], 0.1, groups[order]).item())


def test_the_two_views_play_the_same_part():
    m, p = unit_vectors(8, 5), unit_vectors(8, 5, seed=1)
    gradients = []
    for views in ((m, p), (p, m)):
        one, other = (v.clone().requires_grad_() for v in views)
        loss(one, other).backward()
        gradients.append({id(views[0]): one.grad, id(views[1]): other.grad})
    for view in (m, p):
        torch.testing.assert_close(gradients[0][id(view)], gradients[1][id(view)])
    assert loss(m, p).item() == pytest.approx(loss(p, m).item())


def test_gradients_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 5, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(info_nce, logits)


def test_a_gradient_reaches_the_scale():
    scale = torch.tensor(2.0, requires_grad=True)
    m = unit_vectors(6, 4)
    info_nce(contrastive_logits(m, m, scale, torch.arange(6))).backward()
    assert scale.grad < 0  # aligned pairs: a larger scale lowers the loss


def test_logits_stay_in_float32_under_autocast():
    m, p = unit_vectors(6, 4), unit_vectors(6, 4, seed=1)
    exact = contrastive_logits(m, p, torch.tensor(10.0), torch.arange(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = contrastive_logits(m, p, torch.tensor(10.0), torch.arange(6))
    assert torch.equal(logits, exact)
    halves = contrastive_logits(m.bfloat16(), p.bfloat16(), torch.tensor(10.0), torch.arange(6))
    assert halves.dtype == torch.float32
