"""One .sql file per question; names that begin with an underscore are internal."""
