"""How far back does a recurrent network remember, and which one learns to?"""
