"""Tests of posrecon; each name states a truth."""
