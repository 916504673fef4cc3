"""How far does the field's procedure for finding hyper-parameters get, beside a random search?"""
