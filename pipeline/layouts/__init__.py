"""What a folder of audio says about itself: roles, labels, groups, official and own splits.

Reads the lists beside the audio; writes nothing.
"""
