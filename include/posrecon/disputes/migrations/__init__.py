"""Migrations of the tables of the cases, one file each; a released one is never changed."""
