"""MNIST: 70,000 handwritten digits of 28 by 28 pixels, the field's common ground.

It is taken from the first of these that is there: the path that was given, the path in `GRADIOMETER_MNIST`, the cache
folder; else its four files (11.6 MB) are downloaded into the cache folder. Every copy is checked to be MNIST itself, by
the hash of its pixels and labels, in whatever format it came.

Source:
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE 1998. The pictures come from NIST's Special Databases 1 and 3; Keras's documentation names LeCun and
    Cortes as holders of the rights, and the licence CC BY-SA 3.0. Parted as in Nielsen, "Neural Networks and Deep
    Learning", 2015: the first 50,000 are trained on, the next 10,000 validated on. The hashes of the four files are
    those that TensorFlow Datasets and others publish, and the MD5 sums of torchvision belong to the same files.
"""

import hashlib
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradiometer.errors import DataError
from gradiometer.lab.datasets.fetching import RemoteFile, fetch
from gradiometer.lab.datasets.idx import read_idx
from gradiometer.lab.datasets.images import LabelledImages

VARIABLE = "GRADIOMETER_MNIST"
"""Environment variable with the path of a copy."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
"""Where the four files are: PyTorch's copy, TensorFlow's, and one of Paderborn University."""

TRAINED_ON = 50_000
"""Pictures up to this number are trained on, the other 10,000 of the training half validated on."""


class MnistPart(NamedTuple):
    """One of the four arrays, and how it is called and checked.

    Attributes:
        key: Its name in Keras's `mnist.npz`.
        shape: Its shape.
        sha256: Hash of its bytes, without any head.
        remote: The file that mirrors have.
    """

    key: str
    shape: tuple[int, ...]
    sha256: str
    remote: RemoteFile


PARTS = (
    MnistPart(
        "x_train",
        (60_000, 28, 28),
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
    ),
    MnistPart(
        "y_train",
        (60_000,),
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        RemoteFile(
            "train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
    ),
    MnistPart(
        "x_test",
        (10_000, 28, 28),
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        RemoteFile(
            "t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
    ),
    MnistPart(
        "y_test",
        (10_000,),
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    ),
)

FILES = tuple(part.remote for part in PARTS)

Arrays = dict[str, NDArray[np.uint8]]


def load_mnist(path: Path | None = None) -> LabelledImages:
    """Load MNIST, wherever it is; brightness is the pixel's byte, divided by 255.

    Args:
        path: Keras's `mnist.npz`, or a folder with it or with the four IDX files, compressed or not; None looks in
            `GRADIOMETER_MNIST` and in the cache folder, and downloads it otherwise.

    Raises:
        DataError: What is there is not MNIST, or nothing is there and it can't be downloaded; the message says how to
            get it.
    """
    named = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    arrays = read_copy(named) if named is not None else read_cached(cache_folder())
    check_content(arrays)
    bytes_of = {half: arrays[f"x_{half}"].reshape(-1, 28 * 28) for half in ("train", "test")}
    inputs = {half: np.divide(pixels, 255.0, dtype=np.float32) for half, pixels in bytes_of.items()}
    labels = {half: arrays[f"y_{half}"].astype(np.int64) for half in ("train", "test")}
    return LabelledImages(
        name="mnist",
        source="LeCun, Cortes and Burges 1998, from NIST's Special Databases 1 and 3; CC BY-SA 3.0",
        side=28,
        classes=10,
        train_inputs=inputs["train"][:TRAINED_ON],
        train_labels=labels["train"][:TRAINED_ON],
        validation_inputs=inputs["train"][TRAINED_ON:],
        validation_labels=labels["train"][TRAINED_ON:],
        test_inputs=inputs["test"],
        test_labels=labels["test"],
    )


def cache_folder() -> Path:
    """Where a downloaded copy is kept: `gradiometer/mnist` in `XDG_CACHE_HOME`, or in `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "gradiometer" / "mnist"


def read_copy(path: Path) -> Arrays:
    """Read the four arrays from a file or folder, by their names in `mnist.npz`.

    Raises:
        DataError: There is no copy, or it can't be read.
    """
    if path.is_dir():
        return read_npz(path / "mnist.npz") if (path / "mnist.npz").exists() else read_idx_folder(path)
    if not path.exists():
        raise DataError(f"There is no {path}; MNIST is a file mnist.npz, or a folder with the four IDX files.")
    return read_npz(path)


def read_npz(path: Path) -> Arrays:
    """Read Keras's `mnist.npz`.

    Raises:
        DataError: It is no such file.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            return {part.key: archive[part.key] for part in PARTS}
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as fault:
        keys = ", ".join(part.key for part in PARTS)
        raise DataError(f"{path} is no mnist.npz with the arrays {keys}: {fault}.") from fault


def read_idx_folder(folder: Path) -> Arrays:
    """Read the four IDX files of a folder, compressed or not.

    Raises:
        DataError: One of them is missing or damaged.
    """
    found = {}
    for part in PARTS:
        compressed = folder / part.remote.name
        # torchvision unpacks them, and some unpackers write a dot where the name had a dash.
        bare = part.remote.name.removesuffix(".gz")
        names = (compressed, folder / bare, folder / bare.replace("-idx", ".idx"))
        at_hand = next((name for name in names if name.exists()), None)
        if at_hand is None:
            raise DataError(f"{folder} has neither mnist.npz nor {part.remote.name}, one of MNIST's four IDX files.")
        found[part.key] = read_idx(at_hand)
    return found


def check_content(arrays: Arrays) -> None:
    """Check that a copy is MNIST itself, to the byte and in its order.

    Raises:
        DataError: It is something else; Fashion-MNIST, for one, comes under the same file names.
    """
    for part in PARTS:
        array = np.ascontiguousarray(arrays[part.key])
        if array.shape != part.shape or array.dtype != np.uint8:
            raise DataError(f"This is not MNIST: {part.key} has the shape {array.shape}, which should be {part.shape}.")
        if hashlib.sha256(array.tobytes()).hexdigest() != part.sha256:
            raise DataError(f"This is not MNIST: the bytes of {part.key} are not MNIST's. It needs an unchanged copy.")


def say_on_stderr(message: str) -> None:
    """Tell the user what takes its time."""
    sys.stderr.write(f"{message}\n")


def read_cached(
    folder: Path,
    *,
    mirrors: Sequence[str] = MIRRORS,
    files: Sequence[RemoteFile] = FILES,
    say: Callable[[str], None] = say_on_stderr,
) -> Arrays:
    """Read the copy of the cache folder, and download what is missing of it.

    Args:
        folder: The cache folder.
        mirrors: Addresses to download from, in turn.
        files: What to download.
        say: Told what is downloaded.

    Raises:
        DataError: It is not there and can't be downloaded; the message names both ways out.
    """
    if (folder / "mnist.npz").exists():
        return read_npz(folder / "mnist.npz")
    try:
        for file in files:
            fetch(file, mirrors, folder, say)
    except DataError as fault:
        raise DataError(
            f"MNIST is not at hand: {fault} Without a network, either fetch mnist.npz or the four IDX files elsewhere "
            f"and name them with --data PATH or {VARIABLE}=PATH, or keep to the bundled digits with --quick."
        ) from fault
    return read_idx_folder(folder)
