"""How a finding's sentence names a layer, and begins."""


def spoken(layer: str) -> str:
    """A layer's name as it stands in a sentence: a bare number, as `nn.Sequential` gives it, needs a word before it.

    Example:
        >>> spoken("12"), spoken("2.0"), spoken("hidden.4")
        ('layer 12', 'layer 2.0', 'hidden.4')
    """
    return f"layer {layer}" if layer.replace(".", "").isdigit() else layer


def capital(text: str) -> str:
    """The same text with a capital at its start.

    Example:
        >>> capital("layer 12")
        'Layer 12'
    """
    return text[:1].upper() + text[1:]
