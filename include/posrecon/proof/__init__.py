"""Proof to the line: what each night records, what verifies it, and the way from a figure back to received lines."""
