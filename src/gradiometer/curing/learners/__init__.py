"""Learners of single layers without targets: `rbm`, `autoencoder`; `layerwise` puts what they learn into a model.

Their functions need torch alone, since the snippet of `pretrain_layers` consists of their own source.
"""
