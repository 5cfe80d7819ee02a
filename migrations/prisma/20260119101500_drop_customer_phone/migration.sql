-- Loses data. The plan of `envctl migrate --dry-run` says so, with the size of the table.
ALTER TABLE customers DROP COLUMN phone;
