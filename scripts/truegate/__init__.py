"""Truegate: a gate that can't go green without having looked."""

__version__ = "0.1.0"
