-- Does not block writes. CONCURRENTLY cannot run in a transaction, so it stands alone in its file.
CREATE INDEX CONCURRENTLY orders_customer_id_idx ON orders (customer_id);
