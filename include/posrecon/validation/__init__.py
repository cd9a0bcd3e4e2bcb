"""Great Expectations: data quality that can stop a night, and the rules that mark dispute candidates."""
