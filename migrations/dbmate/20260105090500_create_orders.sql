-- migrate:up
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (id),
    total_cents bigint NOT NULL CHECK (total_cents >= 0),
    ordered_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO customers (email, name, phone)
SELECT 'customer' || n || '@example.com', 'Customer ' || n, '+49 30 ' || n FROM generate_series(1, 1000) n;
INSERT INTO orders (customer_id, total_cents)
SELECT 1 + n % 1000, n FROM generate_series(1, 5000) n;

-- migrate:down
DROP TABLE orders;
