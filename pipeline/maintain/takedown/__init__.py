"""Takedowns: hidden from readers at once, removed from the files soon, and gone for ever."""
