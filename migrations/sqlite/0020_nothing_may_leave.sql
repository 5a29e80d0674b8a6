-- Nothing: SQLite is asked by another statement of the same claim.
SELECT 1;
