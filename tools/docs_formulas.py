r"""Formulas of the documentation: the part of TeX that it uses, as MathML, which browsers draw without a script.

Known are letters, numbers, operators, Greek, `\frac`, `\sqrt`, `_` and `^`, `\text`, `\mathrm`, `\left`, `\right`, and
`\\` for a new line. What is not known is an error: the build fails rather than showing half a formula.
"""

import html
import re
from typing import Any

TOKEN = re.compile(r"\\\\|\\[A-Za-z]+|\\[,;:!{}|]|\d+(?:\.\d+)?|[A-Za-z]|[^\s]")

LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "theta": "θ", "lambda": "λ",
    "mu": "μ", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ",
    "omega": "ω", "Delta": "Δ", "Sigma": "Σ", "Phi": "Φ", "partial": "∂", "ell": "ℓ", "infty": "∞", "nabla": "∇",
    "dots": "…",
}  # fmt: skip

OPERATORS = {
    "cdot": "·", "times": "×", "approx": "≈", "le": "≤", "ge": "≥", "to": "→", "in": "∈", "propto": "∝", "pm": "±",
    "neq": "≠", "odot": "⊙", "lVert": "‖", "rVert": "‖", "lvert": "|", "rvert": "|", "sum": "∑", "prod": "∏",
    "int": "∫", "top": "⊤", "sim": "∼", "ll": "≪", "gg": "≫", "mid": "|", "langle": "⟨", "rangle": "⟩", "{": "{",
    "}": "}", "|": "‖", "max": "max", "min": "min", "log": "log", "ln": "ln", "exp": "exp", "tanh": "tanh",
}  # fmt: skip

SPACES = {",": "0.17em", ":": "0.22em", ";": "0.28em", "!": "-0.17em", "quad": "1em", "qquad": "2em"}

WITH_LIMITS = frozenset({"∑", "∏", "max", "min"})
"""Operators whose limits stand below and above."""


def formula_fence(source: str, language: str, css_class: str, options: Any, md: Any, **_: Any) -> str:
    """Turn a block that is fenced as `math` into MathML, with its source as the text for those who can't see it."""
    lines = [mathml(line) for line in source.replace("\n", " ").split("\\\\")]
    rows = "".join(f"<mtr><mtd>{line}</mtd></mtr>" for line in lines)
    body = f'<mtable columnalign="left" rowspacing="0.6em">{rows}</mtable>' if len(lines) > 1 else lines[0]
    return (
        f'<div class="{css_class}" tabindex="0">'
        f'<math displaystyle="true" alttext="{html.escape(" ".join(source.split()))}">{body}</math></div>'
    )


def mathml(source: str) -> str:
    r"""One line of a formula as MathML.

    Raises:
        ValueError: A command is not known, or a brace is not closed.

    Example:
        >>> mathml(r"\frac{a}{2}")
        '<mrow><mfrac><mrow><mi>a</mi></mrow><mrow><mn>2</mn></mrow></mfrac></mrow>'
        >>> mathml("x_l^2")
        '<mrow><msubsup><mi>x</mi><mi>l</mi><mn>2</mn></msubsup></mrow>'
    """
    tokens = [*text_tokens(source)]
    tokens.reverse()
    return row(tokens, end=None)


def text_tokens(source: str) -> list[str]:
    r"""The tokens of a formula; the words of `\text{...}` and `\mathrm{...}` stay one token."""
    tokens: list[str] = []
    for part in re.split(r"(\\(?:text|mathrm)\{[^}]*\})", source):
        tokens += [part] if part.startswith(("\\text{", "\\mathrm{")) else TOKEN.findall(part)
    return tokens


def row(tokens: list[str], end: str | None) -> str:
    """What stands up to a closing token, or to the end of the line.

    Args:
        tokens: What is left, the next one last; taken from.
        end: The token that closes the row; None for the end of the line.
    """
    parts = []
    while tokens and tokens[-1] != end:
        parts.append(with_scripts(tokens))
    if end is not None:
        if not tokens:
            raise ValueError(f"a formula ends before its {end!r}")
        tokens.pop()
    return f"<mrow>{''.join(parts)}</mrow>"


def with_scripts(tokens: list[str]) -> str:
    """One term with what stands below and above it."""
    term = atom(tokens)
    below = above = None
    while tokens and tokens[-1] in {"_", "^"}:
        if tokens.pop() == "_":
            below = atom(tokens)
        else:
            above = atom(tokens)
    if below is None and above is None:
        return term
    has_limits = any(f">{sign}<" in term for sign in WITH_LIMITS)
    under, over, both = ("munder", "mover", "munderover") if has_limits else ("msub", "msup", "msubsup")
    name = both if below and above else under if below else over
    return f"<{name}>{term}{below or ''}{above or ''}</{name}>"


def atom(tokens: list[str]) -> str:
    """One letter, number, operator, group or command."""
    if not tokens:
        raise ValueError("a formula ends where a term was expected")
    token = tokens.pop()
    if token == "{":
        return row(tokens, end="}")
    if token.startswith("\\"):
        return command(token[1:], tokens)
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if token.isalpha():
        return f"<mi>{token}</mi>"
    return f"<mo>{html.escape({'-': '−', '*': '·', chr(39): '′'}.get(token, token))}</mo>"


def command(name: str, tokens: list[str]) -> str:
    """A command with its arguments."""
    if name == "frac":
        return f"<mfrac>{atom(tokens)}{atom(tokens)}</mfrac>"
    if name == "sqrt":
        return f"<msqrt>{atom(tokens)}</msqrt>"
    if name in {"left", "right"}:
        fence = tokens.pop()
        return f'<mo stretchy="true">{OPERATORS.get(fence.lstrip(chr(92)), html.escape(fence))}</mo>'
    if name.startswith(("text{", "mathrm{")):
        kind, _, words = name.partition("{")
        words = html.escape(words[:-1])
        return f"<mtext>{words}</mtext>" if kind == "text" else f'<mi mathvariant="normal">{words}</mi>'
    if name in SPACES:
        return f'<mspace width="{SPACES[name]}"></mspace>'
    if name in LETTERS:
        return f"<mi>{LETTERS[name]}</mi>"
    if name in OPERATORS:
        kind = "mi" if OPERATORS[name].isalpha() else "mo"
        return f"<{kind}>{OPERATORS[name]}</{kind}>"
    raise ValueError(f"a formula of the documentation uses \\{name}, which tools/docs_formulas.py does not know")
