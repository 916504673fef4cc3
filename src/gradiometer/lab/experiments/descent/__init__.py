"""What do batch size and learning rate do to the way down the cost surface?"""
