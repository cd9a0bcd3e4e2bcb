"""Tests of the way from inbox to raw Parquet."""
