"""Scripts that do what real scripts do and examples do not; each prints a digest of its weights at its end."""

HEAD = """
import hashlib, torch
import torch.nn as nn
import torch.nn.functional as F
torch.manual_seed(0)
x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
def net(): return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
def digest(*modules):
    d = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    for m in modules:
        for t in m.state_dict().values(): d.update(t.numpy().tobytes())
    print("DIGEST", d.hexdigest())
"""

BODIES: dict[str, str] = {
    "two_roots": """
enc, dec = nn.Linear(6, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 6))
opt = torch.optim.Adam([*enc.parameters(), *dec.parameters()])
for _ in range(6):
    opt.zero_grad(); F.mse_loss(dec(enc(x)), x).backward(); opt.step()
digest(enc, dec)
""",
    "gan": """
g = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))
d = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
og, od = torch.optim.Adam(g.parameters()), torch.optim.Adam(d.parameters())
for _ in range(6):
    fake = g(torch.randn(8, 4))
    od.zero_grad(); (F.softplus(-d(x)).mean() + F.softplus(d(fake.detach())).mean()).backward(); od.step()
    og.zero_grad(); F.softplus(-d(fake)).mean().backward(); og.step()
digest(g, d)
""",
    "optimizer_per_layer": """
m = net()
opts = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in m if list(layer.parameters())]
for _ in range(6):
    [o.zero_grad() for o in opts]; F.cross_entropy(m(x), y).backward(); [o.step() for o in opts]
digest(m)
""",
    "updates_by_hand": """
m = net()
for _ in range(6):
    m.zero_grad(); F.cross_entropy(m(x), y).backward()
    for p in m.parameters(): p.data -= 0.1 * p.grad
digest(m)
""",
    "second_order": """
m = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    z = x.clone().requires_grad_()
    out = m(z)
    g, = torch.autograd.grad(out.sum(), z, create_graph=True)
    opt.zero_grad(); ((g.norm(dim=1) - 1) ** 2).mean().add(out.mean()).backward(); opt.step()
digest(m)
""",
    "thousands_of_forwards": """
m = net()
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(3):
    logs = [m(x[k % 8]) for k in range(1500)]
    opt.zero_grad(); torch.stack(logs).square().mean().backward(); opt.step()
digest(m)
""",
    "averaged_copy": """
import copy
m = net(); t = copy.deepcopy(m)
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    target = t(x).detach()
    opt.zero_grad(); F.mse_loss(m(x), target + 0.1).backward(); opt.step()
    for a, b in zip(t.parameters(), m.parameters()): a.data.lerp_(b.data, 0.1)
digest(m, t)
""",
    "accumulation": """
m = net()
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    opt.zero_grad(set_to_none=False)
    for k in range(4): (F.cross_entropy(m(x[2 * k:2 * k + 2]), y[2 * k:2 * k + 2]) / 4).backward()
    opt.step()
digest(m)
""",
    "frozen": """
m = net()
m[0].requires_grad_(False)
opt = torch.optim.SGD([p for p in m.parameters() if p.requires_grad], lr=0.1)
for _ in range(6):
    opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
digest(m)
""",
    "batch_of_one": """
m = nn.Linear(6, 3)
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for k in range(6):
    opt.zero_grad(); F.cross_entropy(m(x[k:k + 1]), y[k:k + 1]).backward(); opt.step()
digest(m)
""",
    "nan_from_the_first_step": """
m = net()
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    opt.zero_grad(); (F.cross_entropy(m(x), y) * float("nan")).backward(); opt.step()
digest(m)
""",
    "closure": """
m = net()
opt = torch.optim.LBFGS(m.parameters(), max_iter=3)
def closure():
    opt.zero_grad(); loss = F.cross_entropy(m(x), y); loss.backward(); return loss
for _ in range(6): opt.step(closure)
digest(m)
""",
    "loader_workers": """
from torch.utils.data import DataLoader, TensorDataset
m = net()
opt = torch.optim.SGD(m.parameters(), lr=0.1)
loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True, num_workers=2, multiprocessing_context="fork")
for _ in range(3):
    for a, b in loader:
        opt.zero_grad(); F.cross_entropy(m(a), b).backward(); opt.step()
digest(m)
""",
    "module_made_late": """
m = net(); m(x).sum().backward()
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for k in range(6):
    if k == 3:
        m = nn.Sequential(m, nn.ReLU(), nn.Linear(3, 3)); opt = torch.optim.SGD(m.parameters(), lr=0.1)
    opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
digest(m)
""",
    "forward_that_fails": """
m = net()
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for k in range(6):
    try: m(x[:, :5])
    except RuntimeError: pass
    opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
digest(m)
""",
    "bare_tensors": """
w = torch.randn(6, 3, requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
for _ in range(6):
    opt.zero_grad(); F.cross_entropy(x @ w, y).backward(); opt.step()
m = nn.Linear(1, 1); m.weight.data = w.detach(); digest(m)
""",
    "half_precision": """
m = net()
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    opt.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16): loss = F.cross_entropy(m(x), y)
    loss.backward(); opt.step()
digest(m)
""",
    "reentrant_checkpoint": """
from torch.utils.checkpoint import checkpoint
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.body, self.last = nn.Linear(6, 8), nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 3)
    def forward(self, x): return self.last(checkpoint(self.body, self.first(x), use_reentrant=True))
m = Net()
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
digest(m)
""",
    "lazy": """
m = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
digest(m)
""",
    "traced": """
import warnings; warnings.simplefilter("ignore")
m = torch.jit.trace(net(), x)
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
digest(m)
""",
    "empty_batch": """
m = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for k in range(6):
    n = 0 if k % 2 == 0 else 8
    opt.zero_grad(); F.cross_entropy(m(x[:n]), y[:n], reduction="sum").backward(); opt.step()
digest(m)
""",
    "several_threads": """
import threading
models = [net() for _ in range(3)]
def train(m):
    opt = torch.optim.SGD(m.parameters(), lr=0.1)
    for _ in range(6):
        opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
threads = [threading.Thread(target=train, args=(m,)) for m in models]
[t.start() for t in threads]; [t.join() for t in threads]
digest(*models)
""",
    "threads_with_optimizers_made_before": """
import threading
models = [net() for _ in range(3)]
optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in models]
def train(m, opt):
    for _ in range(6):
        opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
threads = [threading.Thread(target=train, args=pair) for pair in zip(models, optimizers)]
[t.start() for t in threads]; [t.join() for t in threads]
digest(*models)
""",
    "one_training_after_another": """
import gc, weakref
gone = []
def train(rate):
    m = net()
    opt = torch.optim.Adam(m.parameters(), lr=rate)
    gone.extend([weakref.ref(m), weakref.ref(opt)])
    for _ in range(6):
        opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
    return m.state_dict()
for rate in (0.1, 0.01, 0.001, 0.0001): state = train(rate)
gc.collect()
assert sum(r() is not None for r in gone) <= 1, "only the model that was measured may be held"
net_again = net(); net_again.load_state_dict(state); digest(net_again)
""",
    "optimizer_made_anew": """
m = net()
for epoch in range(3):
    opt = torch.optim.Adam(m.parameters())
    for _ in range(2):
        opt.zero_grad(); F.cross_entropy(m(x), y).backward(); opt.step()
digest(m)
""",
    "part_added_late": """
a, b = nn.Linear(6, 6), nn.Linear(6, 3)
first = torch.optim.SGD(a.parameters(), lr=0.1)
for k in range(6):
    if k == 2: second = torch.optim.SGD(b.parameters(), lr=0.1)
    first.zero_grad(); b.zero_grad(); F.cross_entropy(b(a(x).relu()), y).backward(); first.step()
    if k >= 2: second.step()
digest(a, b)
""",
    "root_called_late": """
a, b = nn.Linear(6, 3), nn.Linear(3, 3)
opt = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)
for k in range(6):
    opt.zero_grad(); F.cross_entropy(b(a(x)) if k > 2 else a(x), y).backward(); opt.step()
digest(a, b)
""",
    "sparse": """
m = nn.Sequential(nn.EmbeddingBag(5, 4, sparse=True), nn.Linear(4, 3))
opt = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(6):
    opt.zero_grad(); F.cross_entropy(m(y[:, None] % 5), y).backward(); opt.step()
digest(m)
""",
}
"""What each does, by name."""

SCRIPTS: dict[str, str] = {name: HEAD + body for name, body in BODIES.items()}
