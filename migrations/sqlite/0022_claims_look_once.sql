-- Nothing: SQLite's claim is another statement.
SELECT 1;
