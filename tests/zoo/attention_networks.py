"""Transformers, attention and embeddings."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Block = Callable[[], nn.Module]


class Attending(nn.Module):
    """Embeds tokens, lets a body attend, reads the mean.

    Args:
        body: Makes what is called with (tokens, width).
    """

    def __init__(self, body: Block) -> None:
        super().__init__()
        self.embedding, self.body, self.head = nn.Embedding(12, 16), body(), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embedding(x)).mean(1))


class Weighing(nn.Module):
    """`nn.MultiheadAttention` of a sequence on itself, with the weights or without."""

    def __init__(self, *, need_weights: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, dropout=dropout, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        y, weights = self.attention(x, x, x, need_weights=self.need_weights)
        return x + y if weights is None else x + y + weights.mean()


class Crossing(nn.Module):
    """Query, key and value of different tensors and widths, called by keyword, with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.value = nn.Linear(16, 8), nn.Linear(16, 12)
        self.attention = nn.MultiheadAttention(16, 2, kdim=8, vdim=12, batch_first=True, add_bias_kv=True)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        return x + self.attention(query=x, key=self.key(x), value=self.value(x), attn_mask=mask)[0]


class DotProduct(nn.Module):
    """`scaled_dot_product_attention` by hand, causal."""

    def __init__(self) -> None:
        super().__init__()
        self.projection, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.projection(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return x + self.out(y.transpose(1, 2).flatten(2))


class Decoding(nn.Module):
    """Decoder layers that look at the encoder's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(16, 16)
        layer = nn.TransformerDecoderLayer(16, 2, 32, dropout=0.1, batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, 2, norm=nn.LayerNorm(16))

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.decoder(x, torch.tanh(self.encoder(x)), tgt_mask=mask, tgt_is_causal=True)


class Both(nn.Module):
    """`nn.Transformer` whole."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Transformer(16, 2, 1, 1, 32, dropout=0.0, activation="gelu", batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.both(x, x.flip(1))


class OnFrozen(nn.Module):
    """A head on a frozen encoder in evaluation mode, which torch runs as one fused operation.

    Args:
        is_without_gradient: The encoder is called under `no_grad`, too.
    """

    def __init__(self, *, is_without_gradient: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 16).requires_grad_(False)
        self.encoder = encoder(dropout=0.1).requires_grad_(False).eval()
        self.body, self.head = nn.Linear(16, 16), nn.Linear(16, 10)
        self.is_without_gradient = is_without_gradient

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_without_gradient):
            y = self.encoder(self.embedding(x))
        return self.head(torch.relu(self.body(y)).mean(1))


class Bags(nn.Module):
    """Sparse embeddings and a bag of them."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 16, sparse=True)
        self.bag = nn.EmbeddingBag(12, 16, mode="sum", sparse=True)
        self.body, self.head = nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(self.words(x).mean(1) + self.bag(x))))


class Tied(nn.Module):
    """The embedding's weight is the output's, too; the mean of the words' logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 16, padding_idx=0, max_norm=2.0)
        self.positions = nn.Parameter(torch.zeros(6, 16))
        self.body, self.out = nn.Linear(16, 16), nn.Linear(16, 12, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.gelu(self.body(self.embedding(x) + self.positions))).mean(1)


def encoder(dropout: float, *, norm_first: bool = False, activation: str = "relu") -> nn.Module:
    """Two encoder layers, batch first."""
    layer = nn.TransformerEncoderLayer(
        16, 2, 32, dropout=dropout, batch_first=True, norm_first=norm_first, activation=activation
    )
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
