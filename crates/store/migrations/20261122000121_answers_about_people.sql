-- Answers kept for a repetition: whom they are about. The answer is sealed under the key of that insurer.
ALTER TABLE idempotency ADD COLUMN insurer_number TEXT;                    -- absent: concerns no insurer
ALTER TABLE idempotency ADD COLUMN insured_number TEXT;                    -- absent: about nobody in particular
