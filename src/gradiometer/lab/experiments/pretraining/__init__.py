"""Does learning layer by layer first rescue a deep network?"""
