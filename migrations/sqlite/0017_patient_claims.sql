-- Nothing: SQLite has one writer, and no claim waits for a row.
SELECT 1;
