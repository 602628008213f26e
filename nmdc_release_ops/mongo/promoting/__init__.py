"""Promoting: what was rehearsed is brought up to what people wrote since, and staged"""
