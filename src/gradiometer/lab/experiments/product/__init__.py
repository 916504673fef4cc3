"""Why is the gradient of an early weight a product, and what balances it?"""
