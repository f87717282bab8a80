-- More of what opens a door is under the door MAC (decision 0006.31). The MACs of rows that are there already are made
-- at the next start, because the database does not have their key.

-- Receipts whose rows are not visible yet, comma separated. This list decides, not receipt.state.
ALTER TABLE receipt_counter ADD COLUMN open_receipts TEXT NOT NULL DEFAULT '';
ALTER TABLE receipt_counter ADD COLUMN mac BYTEA; -- 扉MAC
