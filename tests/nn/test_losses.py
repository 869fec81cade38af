import numpy as np
import pytest
import torch

from mocop_sklearn.nn import infonce, siglip


def unit_vectors(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, d, generator=generator), dim=1)


def loss(molecules, profiles, temperature=0.1, groups=None, weights=None, function=infonce):
    groups = torch.arange(len(molecules)) if groups is None else torch.as_tensor(groups)
    return function(molecules, profiles, torch.tensor(1 / temperature), groups, weights)


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


def test_other_rows_of_a_molecule_are_not_negatives():
    """They change the sums of the softmax only through the rows of other molecules."""
    m, p = unit_vectors(4, 3), unit_vectors(4, 3, seed=1)
    groups = [7, 3, 7, 1]
    changed = p.clone()
    changed[2] = p[0]
    value = numpy_info_nce(m, changed, 0.1, groups)
    assert loss(m, changed, 0.1, groups).item() == pytest.approx(value, rel=1e-5)


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


@pytest.mark.parametrize("function", [infonce, siglip])
def test_gradients_agree_with_finite_differences(function):
    m, p = unit_vectors(5, 3), unit_vectors(5, 3, seed=1)
    step = 1e-2
    m.requires_grad_()
    loss(m, p, 1.0, function=function).backward()
    moved = [m.detach().clone() for _ in range(2)]
    moved[0][2, 1] += step
    moved[1][2, 1] -= step
    up, down = (loss(one, p, 1.0, function=function).item() for one in moved)
    assert m.grad[2, 1].item() == pytest.approx((up - down) / (2 * step), rel=1e-3)


@pytest.mark.parametrize("function", [infonce, siglip])
def test_a_gradient_reaches_the_scale(function):
    scale = torch.tensor(2.0, requires_grad=True)
    m = torch.eye(6)
    function(m, m, scale, torch.arange(6), None).backward()
    assert scale.grad < 0  # aligned pairs: a larger scale lowers the loss


@pytest.mark.parametrize("function", [infonce, siglip])
def test_losses_stay_in_float32_under_autocast(function):
    m, p = unit_vectors(6, 4), unit_vectors(6, 4, seed=1)
    exact = loss(m, p, function=function)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(m, p, function=function), exact)
    assert loss(m.bfloat16(), p.bfloat16(), function=function).dtype == torch.float32


@pytest.mark.parametrize("function", [infonce, siglip])
def test_weights_count_rows(function):
    m, p = unit_vectors(7, 4), unit_vectors(7, 4, seed=1)
    equal = loss(m, p, weights=torch.full((7,), 3.0), function=function)
    assert equal.item() == pytest.approx(loss(m, p, function=function).item(), rel=1e-5)
    one = torch.zeros(7)
    one[4] = 1
    weighted = [loss(m, p, weights=w, function=function).item() for w in torch.eye(7)]
    assert np.mean(weighted) == pytest.approx(loss(m, p, function=function).item(), rel=1e-5)


def numpy_siglip(molecules, profiles, temperature, groups):
    s = molecules.double().numpy() @ profiles.double().numpy().T / temperature - np.log(len(molecules) - 1)
    total = 0.0
    for i in range(len(s)):
        for j in range(len(s)):
            if i == j:
                total += np.log1p(np.exp(-s[i, j]))
            elif groups[i] != groups[j]:
                total += np.log1p(np.exp(s[i, j]))
    return total / len(s)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("groups", [range(9), [0, 1, 1, 2, 3, 3, 3, 4, 5]])
def test_siglip_agrees_with_numpy(temperature, groups):
    m, p = unit_vectors(9, 4), unit_vectors(9, 4, seed=1)
    expected = numpy_siglip(m, p, temperature, list(groups))
    assert loss(m, p, temperature, list(groups), function=siglip).item() == pytest.approx(expected, rel=1e-5)


def test_siglip_weighs_the_match_of_a_row_as_all_its_other_pairs():
    """At cosines of 0 the gradient of the match is minus the sum of the gradients of the others."""
    n = 9
    m, p = torch.zeros(n, n), torch.eye(n)
    m.requires_grad_()
    loss(m, p, 1.0, function=siglip).backward()  # the gradient of row i in direction j is that of the cosine (i, j)
    others = m.grad.sum(dim=1) - m.grad.diagonal()
    torch.testing.assert_close(others, -m.grad.diagonal(), rtol=1e-4, atol=1e-6)
