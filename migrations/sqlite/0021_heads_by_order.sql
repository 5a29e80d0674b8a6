-- Nothing: SQLite takes the index that has the order.
SELECT 1;
