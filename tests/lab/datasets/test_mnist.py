import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gradiometer.errors import DataError
from gradiometer.lab.datasets import mnist as source
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.datasets.mnist import FILES, PARTS, VARIABLE, check_content, load_mnist, read_cached, read_copy
from tests.lab.datasets.test_fetching import mirror

SMALL = {
    "x_train": np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28),
    "y_train": np.array([1, 2, 3], np.uint8),
    "x_test": np.zeros((2, 28, 28), np.uint8),
    "y_test": np.array([4, 5], np.uint8),
}

# MD5 sums of the four unpacked files, published by many: a way to the same content that the source does not take.
UNPACKED_MD5 = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}


def idx_of(array: np.ndarray) -> bytes:
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def described(path: Path, missing: bytes) -> source.RemoteFile:
    content = path.read_bytes() if path.exists() else missing
    return source.RemoteFile(path.name, len(content), hashlib.sha256(content).hexdigest())


def write_npz(folder: Path) -> Path:
    np.savez(folder / "mnist.npz", **SMALL)
    return folder / "mnist.npz"


def write_npz_folder(folder: Path) -> Path:
    return write_npz(folder).parent


def write_packed(folder: Path) -> Path:
    for part in PARTS:
        (folder / part.remote.name).write_bytes(gzip.compress(idx_of(SMALL[part.key])))
    return folder


def write_unpacked(folder: Path) -> Path:
    for part in PARTS:
        (folder / part.remote.name.removesuffix(".gz")).write_bytes(idx_of(SMALL[part.key]))
    return folder


def write_dotted(folder: Path) -> Path:
    for part in PARTS:
        (folder / part.remote.name.removesuffix(".gz").replace("-idx", ".idx")).write_bytes(idx_of(SMALL[part.key]))
    return folder


@pytest.mark.parametrize("write", [write_npz, write_npz_folder, write_packed, write_unpacked, write_dotted])
def test_reads_every_format_that_mnist_comes_in(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    read = read_copy(write(tmp_path))
    assert read.keys() == SMALL.keys()
    assert all(np.array_equal(read[key], SMALL[key]) for key in SMALL)


def test_says_what_is_missing_of_a_folder(tmp_path: Path) -> None:
    (write_packed(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"neither mnist.npz nor t10k-labels-idx1-ubyte.gz"):
        read_copy(tmp_path)


def test_says_that_there_is_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mnist.npz, or a folder with the four IDX files"):
        load_mnist(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 torn"], ids=["empty", "text", "torn"])
def test_refuses_a_file_that_is_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(DataError, match="no mnist.npz with the arrays x_train, y_train, x_test, y_test"):
        load_mnist(tmp_path / "mnist.npz")


def test_refuses_a_single_array_and_one_that_would_run_code(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", SMALL["x_train"])
    np.savez(tmp_path / "code.npz", x_train=np.array([object()], dtype=object), allow_pickle=True)
    for name in ("one.npy", "code.npz"):
        with pytest.raises(DataError, match=r"no mnist.npz"):
            load_mnist(tmp_path / name)


def test_refuses_a_copy_of_another_shape(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not MNIST: x_train has the shape \(3, 28, 28\)"):
        load_mnist(write_npz(tmp_path))


def test_refuses_other_pictures_of_the_same_shape() -> None:
    arrays = {part.key: np.zeros(part.shape, np.uint8) for part in PARTS}
    with pytest.raises(DataError, match="the bytes of x_train are not MNIST's"):
        check_content(arrays)


def test_takes_the_path_of_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "from the variable"))
    with pytest.raises(DataError, match="from the variable"):
        load_mnist()
    with pytest.raises(DataError, match="given"):
        load_mnist(tmp_path / "given")


def test_takes_a_copy_from_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert source.cache_folder() == tmp_path / "gradiometer" / "mnist"
    source.cache_folder().mkdir(parents=True)
    write_npz(source.cache_folder())
    with pytest.raises(DataError, match="not MNIST"):
        load_mnist()


def test_names_both_ways_out_where_there_is_no_network(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(DataError) as raised:
        read_cached(tmp_path / "cache", mirrors=["http://127.0.0.1:9/"], say=said.append)
    assert f"--data PATH or {VARIABLE}=PATH" in str(raised.value)
    assert "--quick" in str(raised.value)
    assert said == ["Fetching train-images-idx3-ubyte.gz (9.9 MB) from http://127.0.0.1:9/"]


def test_downloads_what_the_cache_folder_lacks(tmp_path: Path) -> None:
    content = gzip.compress(idx_of(SMALL["y_test"]))
    write_packed(tmp_path)
    (tmp_path / FILES[3].name).unlink()
    files = tuple(described(tmp_path / file.name, content) for file in FILES)
    with mirror(content) as (address, asked):
        arrays = read_cached(tmp_path, mirrors=[address], files=files, say=lambda _: None)
    assert len(asked) == 1
    assert np.array_equal(arrays["y_test"], SMALL["y_test"])


def test_loads_mnist_itself(mnist: LabelledImages) -> None:
    images = np.concatenate([mnist.train_inputs, mnist.validation_inputs])
    labels = np.concatenate([mnist.train_labels, mnist.validation_labels])
    wanted = (images, labels, mnist.test_inputs, mnist.test_labels)
    for part, array in zip(PARTS, wanted, strict=True):
        unpacked = np.round(array * (255.0 if array.ndim == 2 else 1.0)).astype(np.uint8).reshape(part.shape)
        assert hashlib.md5(idx_of(unpacked), usedforsecurity=False).hexdigest() == UNPACKED_MD5[part.key]
    assert len(mnist.train_labels) == 50_000
    assert mnist.train_inputs.dtype == np.float32
    assert (mnist.train_inputs.min(), mnist.train_inputs.max()) == (0.0, 1.0)
