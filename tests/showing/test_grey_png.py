import base64
import io
import math

import numpy as np
import pytest

from gradiometer.showing.grey_png import grey_png, picture_address

Image = pytest.importorskip("PIL.Image", reason="Pillow, which scikit-image brings, is not installed")


def decoded(pixels: np.ndarray) -> np.ndarray:
    """Grey and alpha [height width 2], as Pillow reads them."""
    with Image.open(io.BytesIO(grey_png(pixels))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "LA")
        return np.asarray(picture).astype(int)


def test_is_read_by_pillow_as_it_was_written() -> None:
    pixels = np.random.default_rng(0).normal(size=(7, 13))
    shares = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    found = decoded(pixels)
    assert found.shape == (7, 13, 2)
    assert np.abs(found[..., 0] - 255.0 * shares).max() <= 0.5
    assert (found[..., 1] == 255).all()


def test_leaves_out_what_is_not_finite() -> None:
    found = decoded(np.array([[0.0, math.nan, 2.0], [1.0, math.inf, -math.inf]]))
    assert found[..., 1].tolist() == [[255, 0, 255], [255, 0, 0]]
    assert [found[0, 0, 0], found[1, 0, 0], found[0, 2, 0]] == [0, 128, 255]


@pytest.mark.parametrize(("value", "grey", "alpha"), [(3.5, 128, 255), (math.nan, 0, 0)])
def test_has_one_grey_where_all_is_alike(value: float, grey: int, alpha: int) -> None:
    found = decoded(np.full((2, 2), value))
    assert (found[..., 0] == grey).all()
    assert (found[..., 1] == alpha).all()


@pytest.mark.parametrize("shape", [(0, 3), (4,), (2, 2, 2)])
def test_refuses_what_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a picture has a height and a width"):
        grey_png(np.zeros(shape))


def test_holds_all_of_it_in_its_address() -> None:
    start, _, body = picture_address(np.eye(3)).partition(",")
    assert start == "data:image/png;base64"
    assert base64.b64decode(body) == grey_png(np.eye(3))
