"""Durations from data: reading measured operator tables, training models, evaluating them, and the files that ship.

Nothing here runs while a framework is emulated: `native/cost` reads the finished files itself.
"""
