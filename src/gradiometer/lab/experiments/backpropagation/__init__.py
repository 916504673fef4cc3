"""How well does a network learn by backpropagation written out, and how fast?"""
