"""The page of the explorer: a digit network that one can walk through, from the picture down to one weight.

`application` makes the page; it is handed a function that answers its questions, and knows nothing of torch. `layout`
is what stands still, `moves` what its controls do, the files named `..._parts` write answers as HTML, `strips` hands
numbers to `assets/strips.js`, which draws units and weights and lets one pick them.
"""
