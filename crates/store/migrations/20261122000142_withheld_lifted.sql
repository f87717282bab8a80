-- 不開示の解除 (P-037): a version written when the municipality lifted it. What versions of earlier receipts said of it holds no
-- more; under the door MAC.
ALTER TABLE person ADD COLUMN lifts INTEGER NOT NULL DEFAULT 0;
