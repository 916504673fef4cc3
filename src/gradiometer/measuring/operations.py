"""Measures every operation of a step as it is done, forward, backward and update, with what it was given.

Seen is what reaches torch's dispatcher, below autograd: the operations of a backward pass too, each told with the
forward operation that it differentiates. Nothing is kept alive: of a tensor its range is remembered, and under which
storage it lay. Every tensor is read as often as it is made, and the device is waited for; this is for single steps.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from gradiometer.measuring.guarding import call_site
from gradiometer.measuring.ranges import is_measurable, range_of
from gradiometer.schema import Operation, Phase, TensorRange

MOST_OPERATIONS = 500_000
"""Operations measured in a step at most; a record takes about a kilobyte."""

WITHOUT_VALUES = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted"})
"""Operations whose output is memory that nobody has written to yet."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One tensor as an operation found it.

    Attributes:
        record: The operation that gave it, None for what was there before.
        range: What it held.
    """

    record: "OperationRecord | None"
    range: TensorRange


@dataclass(slots=True, eq=False)
class OperationRecord:
    """One operation, as `Operation` tells it, with where its inputs came from.

    Attributes:
        index: Its place in the step.
        name: As torch names it.
        phase: The part of the step.
        layer: The innermost module, empty for the root and outside of it.
        call_site: `file:line`.
        differentiates: The backward node.
        sources: Its inputs.
        outputs: What it gave.
        is_constant: It puts a constant into its output that is NaN or infinite: so it was asked to.
    """

    index: int
    name: str
    phase: Phase
    layer: str
    call_site: str | None
    differentiates: str
    sources: tuple[Source, ...]
    outputs: tuple[TensorRange, ...] = ()
    is_constant: bool = False

    def told(self) -> Operation:
        """The same as a noun that can be stored."""
        inputs = tuple(source.range for source in self.sources)
        return Operation(
            self.index,
            self.name,
            self.phase,
            self.layer,
            self.call_site,
            self.differentiates,
            inputs,
            self.outputs,
        )


@dataclass(slots=True)
class Stored:
    """What is known of one storage.

    Attributes:
        reference: Keeps the storage's address from being given to another one, but not its memory.
        sources: By geometry of the tensor that lay in it: version counter and source.
        writer: The last operation that wrote into it.
    """

    reference: StorageWeakRef
    sources: dict[tuple[Any, ...], tuple[int, Source]] = field(default_factory=dict)
    writer: OperationRecord | None = None


class OperationTrace(TorchDispatchMode):
    """Records every operation between `begin` and `finish`.

    Args:
        module_names: Path of each module by its id; others count as part of the module that calls them.
        tensor_name: What to call a tensor that was there before; empty for what has no name.
    """

    def __init__(self, module_names: Callable[[int], str | None], tensor_name: Callable[[Tensor], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.records: list[OperationRecord] = []
        self.phase: Phase = "forward"
        self._is_paused = False
        self._module_names = module_names
        self._tensor_name = tensor_name
        self._storages: dict[int, Stored] = {}
        self._forward_by_sequence: dict[int, OperationRecord] = {}
        self._modules: list[tuple[nn.Module, str]] = []
        self._handles: list[RemovableHandle] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to be kept from the compiler, which takes seconds to import: compiled models run eagerly meanwhile."""
        return False

    def begin(self) -> None:
        """Record from now on what this thread does, and the backward passes that it starts."""
        self._handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        self.__enter__()  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """Record no more."""
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        while self._handles:
            self._handles.pop().remove()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While this is active operations are done and not recorded."""
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False

    def source_of(self, tensor: Tensor) -> Source | None:
        """What a tensor holds now and where that came from; None for what holds no floating-point numbers."""
        stored = self._storage_of(tensor)
        if stored is None:
            return None
        geometry, version = geometry_of(tensor), version_of(tensor)
        known = stored.sources.get(geometry)
        if known is not None and known[0] == version:
            return known[1]
        found = range_of(tensor, "" if stored.writer is not None else self._tensor_name(tensor))
        if found is None:
            return None
        source = Source(stored.writer, found)
        stored.sources[geometry] = (version, source)
        return source

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation and record it."""
        kwargs = kwargs or {}
        if self._is_paused or len(self.records) >= MOST_OPERATIONS:
            return func(*args, **kwargs)
        if getattr(func, "is_view", False):
            return self._do_view(func, args, kwargs)
        sources = tuple(
            source for tensor in tensors_of((args, kwargs)) if (source := self.source_of(tensor)) is not None
        )
        record = self._open_record(func, sources, (args, kwargs))
        output = func(*args, **kwargs)
        written = [*tensors_of(output), *written_arguments(func, args, kwargs)]
        if record.name not in WITHOUT_VALUES:
            record.outputs = tuple(
                self._settle(record, tensor) for tensor in distinct(written) if is_measurable(tensor)
            )
        return output

    def _do_view(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A view is no operation of its own: it comes from what made the tensor that it looks at."""
        viewed = next(tensors_of((args, kwargs)), None)
        base = None if viewed is None else self.source_of(viewed)
        output = func(*args, **kwargs)
        # Only above this level does a view share the counter of what it looks at.
        version = 0 if viewed is None else version_of(viewed)
        for tensor in tensors_of(output):
            stored = self._storage_of(tensor)
            found = range_of(tensor, base.range.name if base is not None else "")
            if stored is not None and base is not None and found is not None:
                stored.sources[geometry_of(tensor)] = (version, Source(base.record, found))
        return output

    def _settle(self, record: OperationRecord, tensor: Tensor) -> TensorRange:
        """Note that an operation made, or wrote into, a tensor."""
        found = range_of(tensor)
        assert found is not None
        stored = self._storage_of(tensor)
        if stored is not None:
            stored.writer = record
            stored.sources[geometry_of(tensor)] = (version_of(tensor), Source(record, found))
        return found

    def _open_record(self, func: Any, sources: tuple[Source, ...], arguments: Any) -> OperationRecord:
        node = torch._C._current_autograd_node()
        forward = None if node is None or self._modules else self._forward_by_sequence.get(sequence_of(node))
        phase: Phase = "backward" if node is not None else self.phase
        layer = self._modules[-1][1] if self._modules else ""
        record = OperationRecord(
            index=len(self.records),
            name=func.overloadpacket.__name__ if hasattr(func, "overloadpacket") else str(func),
            phase=phase,
            layer=forward.layer if forward is not None else layer,
            call_site=forward.call_site if forward is not None else call_site(2),
            differentiates="" if node is None else node.name(),
            sources=sources,
            is_constant=has_infinite_constant(arguments),
        )
        if node is None:
            self._forward_by_sequence.setdefault(torch._C._autograd._get_sequence_nr() - 1, record)
        self.records.append(record)
        return record

    def _storage_of(self, tensor: Tensor) -> Stored | None:
        if not is_measurable(tensor):
            return None
        storage = tensor.untyped_storage()
        stored = self._storages.get(storage._cdata)
        if stored is None:
            stored = self._storages[storage._cdata] = Stored(
                StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            )
        return stored

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        name = self._module_names(id(module))
        if name is None:
            name = self._modules[-1][1] if self._modules else ""
        self._modules.append((module, name))
        self.phase = "forward"

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if any(entered is module for entered, _ in self._modules):
            while self._modules.pop()[0] is not module:
                continue


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Every tensor in an operation's arguments or output, in order."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor):
            yield leaf


def written_arguments(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Tensor]:
    """The tensors that an operation writes into, by its schema."""
    arguments = getattr(getattr(func, "_schema", None), "arguments", ())
    for place, argument in enumerate(arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from tensors_of(args[place] if place < len(args) else kwargs.get(argument.name))


def distinct(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors, each once."""
    return list({id(tensor): tensor for tensor in tensors}.values())


def geometry_of(tensor: Tensor) -> tuple[Any, ...]:
    """Where in its storage a tensor lies, and as what."""
    return tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def version_of(tensor: Tensor) -> int:
    """How often a tensor was written to; 0 for one made under inference mode, which does not count."""
    return 0 if tensor.is_inference() else tensor._version


def sequence_of(node: Any) -> int:
    """Number of the forward operation that a backward node differentiates; -1 where the node has none."""
    number = getattr(node, "_sequence_nr", None)
    return int(number()) if number is not None else -1


def has_infinite_constant(arguments: Any) -> bool:
    """Whether one of an operation's plain numbers is NaN or infinite: what it writes was asked for.

    Example:
        >>> has_infinite_constant(((float("-inf"), 3), {}))
        True
        >>> has_infinite_constant(((1.0,), {"value": 0.0}))
        False
    """
    numbers = (leaf for leaf in tree_leaves(arguments) if isinstance(leaf, float))
    return any(number != number or number in (float("inf"), float("-inf")) for number in numbers)
