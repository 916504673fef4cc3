"""How deep can a network be trained, and how does that depend on its first weights?"""
