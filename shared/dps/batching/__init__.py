"""Batching: operations on single records, gathered into bulk calls."""
