"""Dispute cases: what people do with what the night found, and the limits and doors of a dispute.

Cases are the lasting human state. They stand outside the pure night: `intake` reads what a night published, and no
night ever reads a case.
"""
