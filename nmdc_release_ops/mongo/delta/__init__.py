"""The delta: which documents were written between two moments, and what they were at one moment"""
