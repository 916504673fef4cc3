"""What do activation functions pass on, where do they saturate, when do their units die?"""
