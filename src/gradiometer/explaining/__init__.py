"""What happened in one run, in plain words: its story, and how its examples agree."""
