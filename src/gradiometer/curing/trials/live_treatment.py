"""Applies cures to a script's live model and optimizer, each at its moment: in a trial, and in `run --cure`."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gradiometer.curing.cure import Cure, Patient
from gradiometer.curing.trials.original_losses import OriginalLosses
from gradiometer.curing.trials.passage import Passage, tensors_in
from gradiometer.curing.trials.rewriting import names_in
from gradiometer.curing.trials.roots import as_one, opening_of, roots_behind
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError
from gradiometer.launching.limits import TrainingStopped
from gradiometer.launching.streams import ModelStream
from gradiometer.measuring.guarding import call_site
from gradiometer.schema import Event, Finding, Run
from gradiometer.session import Session

UNKNOWN_MAKING = ("", "")
"""Place and class of an optimizer whose making was not seen."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one part of a cure has changed; a fact of the trial's run file.

    Attributes:
        label: The part's label.
        placement: Where its snippet belongs: `before_optimizer` or `after_optimizer`.
        text: What changed, in words.
        snippet: The same as code.
        roots: Names of the roots that `model` stands for in the snippet; [""] for a single root.
        optimizer_site: `file:line` at which the optimizer of these roots is made; empty where it is not known.
        optimizer: Its class.
        is_covered: This optimizer holds every parameter of these roots.
    """

    label: str
    placement: str
    text: str
    snippet: str
    roots: list[str]
    optimizer_site: str = ""
    optimizer: str = ""
    is_covered: bool = True


@dataclass(frozen=True, slots=True)
class Regimen:
    """What a treatment goes by.

    Attributes:
        cures: Single cures to apply, in order; none for the control.
        findings: What was found in the diagnosed run, worst first.
        run: That run.
        seed: Seed of the numbers that the model itself draws.
        started: Moment at which the trial's process began its work, as `time.monotonic` tells it.
        samples: Inputs of the root that were gathered beforehand; None without.
    """

    cures: tuple[Cure, ...]
    findings: tuple[Finding, ...]
    run: Run | None
    seed: int
    started: float
    samples: Tensor | None = None


class LiveTreatment:
    """Applies cures at the moments of a script, as `gradiometer.launching.treatment.Treatment` names them.

    A cure that refuses, or fails, ends the training at once; the facts `refusal` and `cure_fault` say why.

    Args:
        session: The session that measures the script.
        regimen: What to apply.
        when_changed: Told of every change as it is made; None in a trial.

    Attributes:
        changes: What was changed.
        refusals: Label of a part that refused to why it did.
        added_names: Names of tensors that a checkpoint of the changed model has and one of the script's has not.
        removed_names: Names of those that it lacks.
        refusal: Why the training was ended where a cure does not fit; empty where it was not.
        fault: What a cure failed with; None where none did.
    """

    def __init__(
        self, session: Session, regimen: Regimen, when_changed: Callable[[Change], None] | None = None
    ) -> None:
        self.session = session
        self.regimen = regimen
        self.when_changed = when_changed
        self.changes: list[Change] = []
        self.refusals: dict[str, str] = {}
        self.added_names: list[str] = []
        self.removed_names: list[str] = []
        self.refusal = ""
        self.fault: Exception | None = None
        self.passage = Passage()
        self.originals = OriginalLosses(is_kept=when_changed is None)
        self._targeted: dict[int, dict[str, nn.Module]] = {}
        self._makings: dict[int, tuple[str, str]] = {}

    def while_constructing(self, optimizer: Optimizer, groups: list[dict[str, Any]]) -> None:
        """Apply what brings new parameters, before the optimizer takes its groups."""
        self._makings[id(optimizer)] = (call_site() or "", type(optimizer).__name__)
        self.session.writer.add_facts({"optimizer_sites": [site for site, _ in self._makings.values()]})
        parts = self._parts("construction", "before_optimizer")
        if self.regimen.cures:
            tensors = list(tensors_in([group["params"] for group in groups]))
            self._targeted[id(optimizer)] = self._chosen(self._roots_behind(tensors))
        roots = self._targeted.get(id(optimizer), {})
        if parts and not roots:
            return
        patient = self._patient(roots, None, groups)
        self._apply(parts, patient, roots, self._makings[id(optimizer)])

    def when_constructed(self, optimizer: Optimizer) -> None:
        """Apply what acts on the optimizer itself, before a scheduler or scaler holds it."""
        parts = self._parts("construction", "after_optimizer")
        roots = self._targeted.get(id(optimizer))
        if not parts or (roots is not None and not roots and self._is_chosen_by_name):
            return
        roots = roots or {}
        patient = self._patient(roots, optimizer, optimizer.param_groups)
        self._apply(parts, patient, roots, self._makings.get(id(optimizer), UNKNOWN_MAKING))

    def before_first_forward(
        self, root: nn.Module, name: str, optimizers: tuple[Optimizer, ...], inputs: tuple[Any, ...]
    ) -> None:
        """Apply what copies new values or exchanges modules, before the root is first called."""
        parts = self._parts("first_forward")
        roots = self._chosen({name: root})
        if parts and roots:
            optimizer = next((known for known in optimizers if holds_some_of(known, root)), None)
            groups = optimizer.param_groups if optimizer is not None else []
            patient = self._patient(roots, optimizer, groups)
            patient.inputs = inputs
            self._apply(parts, patient, roots, self._makings.get(id(optimizer), UNKNOWN_MAKING))
            self._refuse_modes_of_compiled(patient)
            self.passage.guide(root, patient.forward_modes)
            self.passage.accompany(patient.script_modes)

    def _refuse_modes_of_compiled(self, patient: Patient) -> None:
        """End a training whose calls a cure would exchange on the way: compiled code makes none."""
        if self.session.probe.full_step.is_closed and (patient.forward_modes or patient.script_modes):
            self.refusal = (
                "functional calls can't be exchanged while compiled code runs: "
                "write the change into the script, or try the cure without torch.compile"
            )
            self._end("refusal", self.refusal)

    def enter_forward(self, root: nn.Module, args: tuple[Any, ...]) -> None:
        """Enter what the cures have brought for a root's forward."""
        self.originals.collect(self.session.probe.step)
        self.passage.enter(root)

    def leave_forward(self, output: Any) -> None:
        """Leave it again."""
        self.passage.leave()

    def follows_forwards(self) -> bool:
        """Whether a cure has brought modes that forwards are to run under."""
        return self.passage.has_modes

    def unapplied(self) -> list[str]:
        """Labels of the parts for which no moment came, or no root that they are for."""
        done = {change.label for change in self.changes}
        return [cure.label for cure in self.regimen.cures if cure.label not in done]

    def what_was_missed(self, *, has_optimizer: bool) -> str:
        """Why parts could not be applied that are not, now that the script has ended; empty where all are."""
        unapplied = self.unapplied()
        if not unapplied:
            return ""
        reason = "its model was not found in time" if has_optimizer else "no optimizer was constructed"
        if has_optimizer and self.session.probe.full_step.is_closed:
            reason = "the script compiles a part of its model or a function around it: write the change into the script"
        reason = next((self.refusals[label] for label in unapplied if label in self.refusals), reason)
        return f"{', '.join(unapplied)} could not be applied: {reason}"

    def _roots_behind(self, tensors: list[Tensor]) -> dict[str, nn.Module]:
        """The roots that own some tensors; one found before is known although a cure has renamed its parameters."""
        held = {id(tensor) for tensor in tensors}
        known = {name: root for roots in self._targeted.values() for name, root in roots.items()}
        again = {name: root for name, root in known.items() if any(id(p) in held for p in root.parameters())}
        return again or roots_behind(tensors, self.regimen.run)

    def _parts(self, moment: str, placement: str | None = None) -> list[Cure]:
        return [
            cure
            for cure in self.regimen.cures
            if cure.moment == moment and (placement is None or cure.placement == placement)
        ]

    @property
    def _named_layers(self) -> list[str]:
        return [layer for finding in self.regimen.findings for layer in finding.layers]

    @property
    def _is_chosen_by_name(self) -> bool:
        """Whether there are several roots and the findings say which of them are meant."""
        names = self._root_names
        return len(names) > 1 and any(layer.startswith(f"{name}.") for layer in self._named_layers for name in names)

    @property
    def _root_names(self) -> list[str]:
        """Names of the diagnosed run's roots."""
        run = self.regimen.run
        return [] if run is None else [str(name) for name in run.facts.get("root_names") or ()]

    def _chosen(self, roots: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """Those roots that the findings are about; all where they do not say."""
        if not self._is_chosen_by_name:
            return roots
        layers = self._named_layers
        return {name: root for name, root in roots.items() if any(layer.startswith(f"{name}.") for layer in layers)}

    def _patient(
        self, roots: Mapping[str, nn.Module], optimizer: Optimizer | None, groups: list[dict[str, Any]]
    ) -> Patient:
        model = as_one(roots) if roots else nn.Module()
        return Patient(
            model=model,
            optimizer=optimizer,
            parameter_groups=groups,
            findings=self.regimen.findings,
            run=self.regimen.run,
            samples=self.regimen.samples,
            original_losses=self.originals.fresh,
        )

    def _apply(
        self, parts: list[Cure], patient: Patient, roots: Mapping[str, nn.Module], making: tuple[str, str]
    ) -> None:
        try:
            # A stream that nobody else draws from: whatever a cure draws, the script's numbers stay the same.
            with ModelStream(self.regimen.seed):
                for part in parts:
                    self._apply_one(part, patient, roots, making)
        except CureRefusedError as refusal:
            self.refusal = str(refusal)
            self._end("refusal", self.refusal)
        except Exception as fault:  # the cure's own, not the script's
            self.fault = fault
            self._end("cure_fault", traceback.format_exc())
        if parts:
            self.session.writer.add_facts({"cure_changes": [asdict(change) for change in self.changes]})

    def _apply_one(self, part: Cure, patient: Patient, roots: Mapping[str, nn.Module], making: tuple[str, str]) -> None:
        """Apply one part; where there are other optimizers or roots for it, it may refuse here."""
        held = {id(tensor) for tensor in tensors_in([group["params"] for group in patient.parameter_groups])}
        is_covered = all(id(parameter) in held for root in roots.values() for parameter in root.parameters())
        try:
            snippet = part.snippet(patient)
            if "model" in names_in(snippet):
                snippet = opening_of(roots) + snippet
            before, names = state_of(patient), tensor_names(patient.model)
            text = part.apply(patient)
            verify_change(part.label, before, state_of(patient))
        except CureRefusedError as refusal:
            self.refusals[part.label] = str(refusal)
            if part.label in self.unapplied() and len(self._root_names) < 2:
                raise
            return
        named = tensor_names(patient.model)
        self.added_names += sorted(named - names)
        self.removed_names += sorted(names - named)
        change = Change(part.label, part.placement, text, snippet, list(roots), *making, is_covered)
        self.changes.append(change)
        self.session.writer.add_event(Event(self.session.probe.step, "cure", text))
        if self.when_changed is not None:
            self.when_changed(change)

    def _end(self, fact: str, reason: str) -> None:
        self.session.writer.add_facts({fact: reason})
        raise TrainingStopped


def holds_some_of(optimizer: Optimizer, root: nn.Module) -> bool:
    """Whether an optimizer holds a parameter of a root."""
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    return any(id(parameter) in held for parameter in root.parameters())


def tensor_names(module: nn.Module) -> set[str]:
    """Names of a module's parameters and buffers, as its checkpoints have them."""
    return {name for name, _ in (*module.named_parameters(remove_duplicate=False), *module.named_buffers())}
