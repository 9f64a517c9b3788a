"""Crystals made to explain a measured pattern."""
