"""How much slower do early layers learn than late ones?"""
