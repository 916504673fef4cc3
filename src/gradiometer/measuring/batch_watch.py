"""What a root is called with: kept by reference for the step under way, and a digest of a sample of it.

Torch's global module hooks would slow every module down, and a root's own hook would be seen in it. So the `__call__`
of a root's class is wrapped while the training is watched and put back afterwards: a third of a microsecond for each
call of a module of that class, and nothing on any module. Compiled models are left alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from gradiometer.measuring.guarding import Guard, is_captured, is_traced, is_transformed
from gradiometer.measuring.training_thread import TrainingThread

MOST_CALLS = 16
"""Calls of roots kept in a step, the first ones: gradient accumulation may make thousands."""

MOST_TENSORS = 32
"""Tensors of a call that are looked at."""

MOST_WAITING_BYTES = 64 * 2**20
"""What batches may take that wait for their loss to come over from a device."""

MOST_WAITING_STEPS = 64
"""Batches that wait at most: one whose loss never came is let go."""

FINGERPRINT_EVENTS = 8
"""Of the steps that are looked at, one in so many has a digest made of its batch, and every full one: it costs as much
as all else that is done in a step that is looked at."""

SAMPLED_ELEMENTS = 64
"""Elements of a tensor that its digest is made of, at equal distances in memory."""


@dataclass(slots=True)
class RootCall:
    """One call of a root in training.

    Attributes:
        root: Name of the root.
        args: What it was given.
        kwargs: What it was given by keyword.
        versions: How often each tensor among its arguments had been written to when it was given.
        torch_state: The state of torch's random numbers on the CPU just before.
        cuda_states: The same of every CUDA device in use.
    """

    root: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    versions: list[int]
    torch_state: Tensor
    cuda_states: dict[int, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by where they stand: `0`, `input_ids`, `1.mask`."""
        return dict(named_tensors((*self.args, dict(self.kwargs)) if self.kwargs else self.args))

    @property
    def is_overwritten(self) -> bool:
        """Whether the script has written since into one of the tensors that were handed over by themselves."""
        return versions_of(self.args, self.kwargs) != self.versions


@dataclass(slots=True)
class StepBatch:
    """What roots were called with in one step.

    Attributes:
        step: Its index.
        calls: The calls, the first `MOST_CALLS`.
        samples: What its digest is made of; empty where none is wanted.
    """

    step: int
    calls: list[RootCall]
    samples: list[bytes | Tensor]

    @property
    def size_bytes(self) -> int:
        """What its tensors take."""
        return sum(tensor.numel() * tensor.element_size() for call in self.calls for tensor in call.tensors().values())

    @property
    def fingerprint(self) -> str | None:
        """Digest of the batch: 16 hexadecimal digits; None where it was not sampled."""
        if not self.samples:
            return None
        digest = blake2b(digest_size=8)
        for part in self.samples:
            digest.update(part if isinstance(part, bytes) else bytes_of(part))
        return digest.hexdigest()


class Watches(list["BatchWatch"]):
    """Who watches one class of roots. Pickled as an empty list: cloudpickle writes a script's own classes out whole."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave those who watch behind."""
        return list, ()


wrapped: dict[type[nn.Module], tuple[Callable[..., Any], Any, Watches]] = {}
"""By class of roots that are watched: what stands in for its `__call__`, its own one (None where it inherits it), and
who watches. One function serves all, so that they may come and go in any order."""


class BatchWatch:
    """Notes the calls of roots.

    A step's batch is kept until its loss is known: on the CPU that is its end; on other devices it is a few steps
    later, and the batches that wait take `MOST_WAITING_BYTES` at most, those that waited longest are let go.

    Args:
        guard: Times this code and keeps its faults out of the training.
        thread: The thread that trains.

    Attributes:
        is_wanted: Somebody asks for batches; to be set before it is started.
        is_open: Calls are noted in the step under way.
        samples_every_step: Make a digest of every batch.
    """

    def __init__(self, guard: Guard, thread: TrainingThread) -> None:
        self.guard = guard
        self.thread = thread
        self.is_wanted = False
        self.is_open = False
        self.samples_every_step = False
        self._is_sampled = False
        self._since_sampled = 0
        self._current = StepBatch(-1, [], [])
        self._waiting: dict[int, tuple[StepBatch, int]] = {}
        self._waiting_bytes = 0
        self._names: dict[int, str] = {}
        self._kinds: set[type[nn.Module]] = set()
        self._is_started = False

    def start(self) -> None:
        """Note calls from now on, where batches are wanted at all."""
        self._is_started = self.is_wanted
        self._watch_kinds()

    def watch(self, module: nn.Module, name: str) -> None:
        """Note what this root is called with while the watch is started."""
        if not isinstance(module, torch.jit.ScriptModule):
            self._names[id(module)] = name
            self._kinds.add(type(module))
            self._watch_kinds()

    def stop(self, *, for_good: bool = False) -> None:
        """Put every class's `__call__` back that nobody else watches.

        Args:
            for_good: Never start again either.
        """
        self.is_wanted = self.is_wanted and not for_good
        if self._is_started:
            self._is_started = self.is_open = False
            for kind in self._kinds:
                leave_class(kind, self)

    def _watch_kinds(self) -> None:
        for kind in self._kinds if self._is_started else ():
            watches = wrap_class(kind)
            if self not in watches:
                watches.append(self)

    def start_step(self, step: int, *, is_open: bool, is_full: bool) -> None:
        """Begin a step.

        Args:
            step: Its index.
            is_open: It is looked at: note its calls.
            is_full: It is measured in full.
        """
        if not self.is_wanted:
            return
        self.is_open = is_open and self._is_started
        if self._current.calls:
            self._let_wait(self._current)
        self._current = StepBatch(step, [], [])
        self._since_sampled += is_open
        self._is_sampled = is_full or self.samples_every_step or self._since_sampled >= FINGERPRINT_EVENTS
        if self._is_sampled:
            self._since_sampled = 0

    def _let_wait(self, batch: StepBatch) -> None:
        self._waiting[batch.step] = batch, batch.size_bytes
        self._waiting_bytes += batch.size_bytes
        while self._waiting_bytes > MOST_WAITING_BYTES or len(self._waiting) > MOST_WAITING_STEPS:
            self._let_go(next(iter(self._waiting)))

    def _let_go(self, step: int) -> StepBatch | None:
        batch, size_bytes = self._waiting.pop(step, (None, 0))
        self._waiting_bytes -= size_bytes
        return batch

    def take(self, step: int) -> StepBatch | None:
        """Hand over a step's batch and let go of it; None where it is not there any more.

        The losses of full steps arrive by a way of their own, so that steps are not taken in their order.
        """
        if self._current.step == step and self._current.calls:
            found, self._current = self._current, StepBatch(step, [], [])
            return found
        return self._let_go(step)

    def name_of(self, tensor: Tensor) -> str:
        """What a tensor of this step's batch is called; empty for any other."""
        return next((name for name, known in self.tensors().items() if known is tensor), "")

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of this step's batch, by what they are called: `batch 0`, `batch mask`."""
        return {f"batch {place}": known for call in self._current.calls for place, known in call.tensors().items()}

    def note(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A root is about to be called in training."""
        batch = self._current
        if not self.is_open or len(batch.calls) >= MOST_CALLS or self.guard.is_broken or not self.thread.is_here():
            return
        if is_traced() or is_transformed() or is_captured():
            return
        with self.guard:
            call = RootCall(self._names.get(id(module), ""), args, kwargs, versions_of(args, kwargs), *random_states())
            batch.calls.append(call)
            if self._is_sampled:
                with torch.no_grad(), torch._C.DisableTorchFunction():
                    batch.samples += [part for tensor in call.tensors().values() for part in sampled(tensor)]

    def note_if_watched(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The same where a call of this module is of interest now."""
        try:
            if self.is_open and id(module) in self._names:
                self.note(module, args, kwargs)
        except Exception as error:
            self.guard.fail(error)


def wrap_class(kind: type[nn.Module]) -> Watches:
    """Put a function in place of a class's `__call__` that tells who watches; one that is there is kept.

    Returns:
        Who watches: to be added to.
    """
    if kind in wrapped:
        return wrapped[kind][2]
    watches, original = Watches(), vars(kind).get("__call__")

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        # Asked first: a graph that this becomes part of must not depend on whether the step is looked at.
        if not torch.compiler.is_compiling() and torch.is_grad_enabled():
            for watch in watches:
                watch.note_if_watched(module, args, kwargs)
        if original is not None:
            return original(module, *args, **kwargs)
        return super(kind, module).__call__(*args, **kwargs)  # type: ignore[misc]

    type.__setattr__(kind, "__call__", call)
    wrapped[kind] = (call, original, watches)
    return watches


def leave_class(kind: type[nn.Module], watch: BatchWatch) -> None:
    """Watch a class no more; the last one puts its `__call__` back.

    Where somebody else has put a function around ours that one stays, and calls ours, which tells nobody.
    """
    ours, original, watches = wrapped.get(kind, (None, None, Watches()))
    if watch not in watches:
        return  # a fault came before it was added
    watches.remove(watch)
    if watches:
        return
    del wrapped[kind]
    if vars(kind).get("__call__") is not ours:
        return
    if original is None:
        type.__delattr__(kind, "__call__")
    else:
        type.__setattr__(kind, "__call__", original)


def random_states() -> tuple[Tensor, dict[int, Tensor]]:
    """The states of torch's global generators: of the CPU, and of every CUDA device once CUDA is in use."""
    cuda_states: dict[int, Tensor] = {}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        cuda_states = {index: generator.get_state() for index, generator in enumerate(torch.cuda.default_generators)}
    return torch.default_generator.get_state(), cuda_states


def named_tensors(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested tuples, lists and mappings, with its place; at most `MOST_TENSORS` of them.

    Example:
        >>> [place for place, _ in named_tensors((torch.zeros(1), {"mask": torch.ones(1)}))]
        ['0', '1.mask']
    """
    count = 0
    waiting: list[tuple[str, Any]] = [(path, value)]
    while waiting and count < MOST_TENSORS:
        place, entry = waiting.pop()
        if isinstance(entry, Tensor):
            count += 1
            yield place, entry
        elif isinstance(entry, Mapping):
            waiting += reversed([(joined(place, key), part) for key, part in entry.items()])
        elif isinstance(entry, list | tuple):
            waiting += reversed([(joined(place, key), part) for key, part in enumerate(entry)])


def joined(path: str, key: Any) -> str:
    """A place within a place."""
    return f"{path}.{key}" if path else str(key)


def versions_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[int]:
    """How often each tensor among arguments was written to; those made under inference mode do not count it."""
    values = (*args, *kwargs.values()) if kwargs else args
    return [value._version for value in values if isinstance(value, Tensor) and not value.is_inference()]


def sampled(tensor: Tensor) -> Iterator[bytes | Tensor]:
    """What a tensor's digest is made of: format, shape, and a sample of its elements.

    From a CUDA device the sample comes over behind the training, before the step's loss does; nobody waits. What a
    model made (it asks for a gradient) is not data and has no digest.
    """
    if tensor.requires_grad:
        return
    yield f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    if tensor.layout != torch.strided or tensor.device.type == "meta" or tensor.numel() == 0 or tensor.is_quantized:
        return
    sample = sample_of(tensor.detach())
    if tensor.device.type == "cuda":
        arriving = torch.empty(sample.shape, dtype=sample.dtype, device="cpu", pin_memory=True)
        yield arriving.copy_(sample, non_blocking=True)
    else:
        yield bytes_of(sample)


def sample_of(tensor: Tensor) -> Tensor:
    """Some of a tensor's elements: at equal distances in memory, or along each axis where there are gaps in it."""
    if tensor.is_conj() or tensor.is_neg() or not is_dense(tensor):
        return tensor[tuple(slice(None, None, max(1, size // 4)) for size in tensor.shape)].resolve_conj().resolve_neg()
    stride = max(1, tensor.numel() // SAMPLED_ELEMENTS)
    return tensor.as_strided((min(SAMPLED_ELEMENTS, tensor.numel()),), (stride,), tensor.storage_offset())


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor's elements fill one piece of memory, in whatever order."""
    return tensor.is_contiguous() or bool(torch.ops.aten.is_non_overlapping_and_dense(tensor))


def bytes_of(tensor: Tensor) -> bytes:
    """The bytes of a tensor's elements; waits for its device."""
    content: bytes = tensor.contiguous().cpu().view(torch.uint8).numpy().tobytes()
    return content
