"""Runs dbt, one layer at a time."""
