"""The ways to train beside the plain one."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.cases import STEPS, Batch, Training, cross_entropy, evaluate, trainable


def accumulating(training: Training) -> None:
    """Two backward passes for each update."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        optimizer.zero_grad()
        for number in range(2):
            (training.loss(training.model, training.batches[(2 * step + number) % 4]) / 2).backward()
        optimizer.step()


def zeroing(training: Training) -> None:
    """Gradients are filled with zeros instead of being dropped, by the model."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        training.model.zero_grad(set_to_none=False)
        training.loss(training.model, training.batches[step % 4]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)


def several_losses(training: Training) -> None:
    """Two losses of one forward pass, each with a backward of its own."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        optimizer.zero_grad()
        inputs, targets = training.batches[step % 4]
        output = training.model(inputs)
        torch.nn.functional.cross_entropy(output, targets).backward(retain_graph=True)
        (0.01 * output.square().mean()).backward()
        optimizer.step()


def closures(training: Training) -> None:
    """The optimizer calls forward and backward itself, as often as it likes."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):

        def closure(batch: Batch = training.batches[step % 4]) -> Tensor:
            optimizer.zero_grad()
            loss = training.loss(training.model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)


def adversarial(training: Training) -> None:
    """A GAN: discriminator and generator in turn, one optimizer each."""
    generator, discriminator = training.model.generator, training.model.discriminator
    of_generator, of_discriminator = training.optimizers
    for step in range(STEPS):
        real = training.batches[step % 4][0]
        fake = generator(torch.randn(len(real), 4))
        of_discriminator.zero_grad()
        (torch.sigmoid(discriminator(fake.detach())).mean() - torch.sigmoid(discriminator(real)).mean()).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        (-torch.nn.functional.logsigmoid(discriminator(fake)).mean()).backward()
        of_generator.step()


def adversarial_roots(model: nn.Module) -> dict[str, nn.Module]:
    """Generator and discriminator are called, the module that holds both is not."""
    return {"generator": model.generator, "discriminator": model.discriminator}


def scaling(training: Training) -> None:
    """Loss scaling with clipping of unscaled gradients; one step's gradients overflow."""
    (optimizer,) = training.optimizers
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    for step in range(STEPS):
        optimizer.zero_grad()
        inputs, targets = training.batches[step % 4]
        loss = training.loss(training.model, (inputs * float("inf") if step == 2 else inputs, targets))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()


def autocasting(training: Training) -> None:
    """Forward in bfloat16 by autocast."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = training.loss(training.model, training.batches[step % 4])
        loss.backward()
        optimizer.step()


def penalising(training: Training) -> None:
    """The loss holds the norm of its own gradient at the input: a backward through a backward."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        optimizer.zero_grad()
        inputs, targets = training.batches[step % 4]
        inputs = inputs.clone().requires_grad_()
        loss = training.loss(training.model, (inputs, targets))
        (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
        (loss + slope.square().sum()).backward()
        optimizer.step()


def attacking(training: Training) -> None:
    """Inputs are pushed up the loss by `torch.autograd.grad` before the step on them."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        inputs, targets = training.batches[step % 4]
        inputs = inputs.clone().requires_grad_()
        (slope,) = torch.autograd.grad(training.loss(training.model, (inputs, targets)), inputs)
        optimizer.zero_grad()
        training.loss(training.model, ((inputs + 0.1 * slope.sign()).detach(), targets)).backward()
        optimizer.step()


def functionally(training: Training) -> None:
    """`torch.func.grad` over `functional_call`, updates written into the parameters by hand."""
    names = [name for name, _ in training.model.named_parameters()]

    def loss_of(parameters: dict[str, Tensor], batch: Batch) -> Tensor:
        return cross_entropy(lambda x: torch.func.functional_call(training.model, parameters, (x,)), batch)  # type: ignore[arg-type]

    for step in range(STEPS):
        parameters = {name: training.model.get_parameter(name).detach() for name in names}
        gradients = torch.func.grad(loss_of)(parameters, training.batches[step % 4])
        with torch.no_grad():
            for name in names:
                training.model.get_parameter(name).sub_(0.1 * gradients[name])


def substituting(training: Training) -> None:
    """`functional_call` with the parameters at half their size, an ordinary backward."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        optimizer.zero_grad()
        inputs, targets = training.batches[step % 4]
        halved = {name: parameter / 2 for name, parameter in training.model.named_parameters()}
        output = torch.func.functional_call(training.model, halved, (inputs,))
        torch.nn.functional.cross_entropy(output, targets).backward()
        optimizer.step()


def stepping_in_backward(training: Training) -> None:
    """Each parameter has an optimizer of its own that steps as soon as its gradient is there."""
    by_parameter = {optimizer.param_groups[0]["params"][0]: optimizer for optimizer in training.optimizers}

    def update(parameter: Tensor) -> None:
        by_parameter[parameter].step()
        by_parameter[parameter].zero_grad()

    handles = [parameter.register_post_accumulate_grad_hook(update) for parameter in by_parameter]
    for step in range(STEPS):
        training.loss(training.model, training.batches[step % 4]).backward()
    for handle in handles:
        handle.remove()


def averaging(training: Training) -> None:
    """A copy of the model that follows its weights, deep-copied while training goes on."""
    (optimizer,) = training.optimizers
    averaged = torch.optim.swa_utils.AveragedModel(training.model)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=STEPS)
    for step in range(STEPS):
        optimizer.zero_grad()
        training.loss(training.model, training.batches[step % 4]).backward()
        optimizer.step()
        schedule.step()
        averaged.update_parameters(training.model)
    torch.optim.swa_utils.update_bn([x for x, _ in training.batches], averaged)
    evaluate(training)


def saving_on_cpu(training: Training) -> None:
    """What autograd keeps is packed by hooks of the script's own."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        optimizer.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.clone(), lambda tensor: tensor):
            loss = training.loss(training.model, training.batches[step % 4])
        loss.backward()
        optimizer.step()


def anomalies(training: Training) -> None:
    """Under `detect_anomaly(check_nan=False)`."""
    (optimizer,) = training.optimizers
    for step in range(STEPS):
        optimizer.zero_grad()
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            training.loss(training.model, training.batches[step % 4]).backward()
        optimizer.step()


def adam(model: nn.Module) -> list[Optimizer]:
    """Adam as it is."""
    return [torch.optim.Adam(trainable(model), lr=1e-3)]


def adam_foreach(model: nn.Module) -> list[Optimizer]:
    """AdamW over lists of tensors."""
    return [torch.optim.AdamW(trainable(model), lr=1e-3, foreach=True, amsgrad=True)]


def adam_fused(model: nn.Module) -> list[Optimizer]:
    """AdamW as one kernel."""
    return [torch.optim.AdamW(trainable(model), lr=1e-3, fused=True)]


def lbfgs(model: nn.Module) -> list[Optimizer]:
    """Closures, several a step."""
    return [torch.optim.LBFGS(trainable(model), lr=0.1, max_iter=3)]


def two_optimizers(model: nn.Module) -> list[Optimizer]:
    """Weights and biases apart."""
    weights = [parameter for parameter in trainable(model) if parameter.dim() > 1]
    biases = [parameter for parameter in trainable(model) if parameter.dim() <= 1]
    return [torch.optim.SGD(weights, lr=0.1), torch.optim.RMSprop(biases, lr=1e-3)]


def one_for_each_part(model: nn.Module) -> list[Optimizer]:
    """One for the generator and one for the discriminator."""
    return [torch.optim.Adam(part.parameters(), lr=1e-3) for part in (model.generator, model.discriminator)]


def one_for_each_parameter(model: nn.Module) -> list[Optimizer]:
    """As many optimizers as parameters."""
    return [torch.optim.SGD([parameter], lr=0.1) for parameter in trainable(model)]


def sparse_and_dense(model: nn.Module) -> list[Optimizer]:
    """SparseAdam for the embeddings."""
    sparse = [p for m in model.modules() if getattr(m, "sparse", False) for p in m.parameters()]
    dense = [p for p in trainable(model) if not any(p is other for other in sparse)]
    return [torch.optim.SparseAdam(sparse, lr=1e-2), torch.optim.Adam(dense, lr=1e-3)]


def nothing(model: nn.Module) -> list[Optimizer]:
    """Updates are written by hand."""
    return []
