"""What do early and late layers see, in a healthy network and in a starved one?"""
