"""Takedowns: gone for readers at once, from the files soon, and for ever."""
