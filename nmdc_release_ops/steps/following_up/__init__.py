"""Judging what was written between the swap of a release and the Runtime's upgrade"""
