"""The lab's reference networks, one kind to a file."""
