"""An unchanged script is run and found out about."""
