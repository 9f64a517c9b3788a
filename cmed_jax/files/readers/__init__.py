"""Readers of measured powder patterns: each turns the bytes of one family of formats to a scan."""
