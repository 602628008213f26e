"""Bringing what is staged up to what people wrote since the rehearsal"""
