import numpy as np
import pytest
import torch
from skimage import metrics

from tests.reference import inversion as reference
from transferkit.analysis.image_quality import CEILING, perceptual_distances, psnr, ssim
from transferkit.core.errors import ShapeError


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pair(n=3, size=20):
    a = noise(n, 3, size, size)
    return a, (a + 0.2 * noise(n, 3, size, size, seed=1)).clamp(0, 1)


def test_pixels_and_structure_agree_with_skimage():
    a, b = pair()
    for row in range(len(a)):
        x, y = (one[row].permute(1, 2, 0).double().numpy() for one in (a, b))
        assert psnr(a, b)[row] == pytest.approx(metrics.peak_signal_noise_ratio(x, y, data_range=1))
        expected = metrics.structural_similarity(
            x, y, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert ssim(a, b)[row] == pytest.approx(expected)


def test_perceptual_distance_agrees_with_the_reference():
    a, b = (
        [noise(2, 3, 4, 4) - 0.5, noise(2, 5, 2, 2)],
        [noise(2, 3, 4, 4, seed=1) - 0.5, noise(2, 5, 2, 2, seed=2)],
    )
    images = noise(2, 3, 8, 8), noise(2, 3, 8, 8, seed=1)
    given = iter([a, b])
    found = perceptual_distances(lambda _: next(given), *images)
    for row in range(2):
        expected = reference.perceptual_distance([m[row].numpy() for m in a], [m[row].numpy() for m in b])
        assert found[row] == pytest.approx(expected, rel=1e-5)


def test_equal_images_are_as_like_as_can_be():
    a, _ = pair()
    assert psnr(a, a).tolist() == [CEILING] * 3
    assert ssim(a, a) == pytest.approx(np.ones(3))
    assert perceptual_distances(lambda x: [x], a, a).tolist() == [0, 0, 0]


def test_each_pair_is_compared_for_itself():
    a, b = pair()
    for measure in (psnr, ssim, lambda x, y: perceptual_distances(lambda z: [z], x, y)):
        np.testing.assert_allclose(measure(a, b)[::-1], measure(a.flip(0), b.flip(0)), rtol=1e-6)
        np.testing.assert_allclose(measure(a, b), measure(b, a), rtol=1e-6)


def test_perceptual_distance_knows_no_contrast_and_dead_positions_are_equal():
    a, b = pair()
    dim = perceptual_distances(lambda x: [x], 0.3 * a, b)
    np.testing.assert_allclose(dim, perceptual_distances(lambda x: [x], a, b), rtol=1e-4)
    assert perceptual_distances(lambda x: [0 * x], a, b).tolist() == [0, 0, 0]


def test_opposite_maps_are_at_four_and_orthogonal_ones_at_two():
    east, north = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    east[:, 0], north[:, 1] = 1, 5
    assert perceptual_distances(lambda x: [x], east, -east) == pytest.approx([4])
    assert perceptual_distances(lambda x: [x], east, north) == pytest.approx([2])


@pytest.mark.parametrize("measure", [psnr, ssim, lambda a, b: perceptual_distances(lambda x: [x], a, b)])
def test_unlike_shapes_are_refused(measure):
    with pytest.raises(ShapeError, match=r"not \[2, 3, 16, 16\] and \[1, 3, 16, 16\]"):
        measure(noise(2, 3, 16, 16), noise(1, 3, 16, 16))


def test_what_has_no_value_is_refused():
    a, b = pair(size=10)
    with pytest.raises(ShapeError, match="SSIM needs images of 11×11 or more, not 10×10"):
        ssim(a, b)
    with pytest.raises(ShapeError, match="of no map is undefined"):
        perceptual_distances(lambda _: [], a, b)
