-- Callbacks on their way. A delivery is written in the transaction that ends its job; what it says is made from the job's
-- row when it is sent.
CREATE TABLE deliveries (
    -- In the order of their making.
    number bigint GENERATED ALWAYS AS IDENTITY,
    delivery_id text PRIMARY KEY DEFAULT 'd' || replace(gen_random_uuid()::text, '-', ''),
    job_id text NOT NULL REFERENCES jobs ON DELETE CASCADE,
    url text NOT NULL,
    -- Whom a slow or dead receiver holds up: the deliveries of its own host.
    host text COLLATE "C" NOT NULL,
    format text NOT NULL CHECK (format IN ('XML', 'JSON')),
    state text NOT NULL DEFAULT 'Waiting' CHECK (state IN ('Waiting', 'Delivered', 'GivenUp')),
    created_at timestamptz NOT NULL,
    -- When the next try is due. While one is under way: when it counts as lost.
    next_at timestamptz NOT NULL,
    under_way boolean NOT NULL DEFAULT false,
    -- The number of the last try that began; it fences off those that count as lost.
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    CONSTRAINT deliveries_under_way_wait CHECK (state = 'Waiting' OR NOT under_way)
);

CREATE INDEX deliveries_by_job ON deliveries (job_id, number DESC);
CREATE INDEX deliveries_due ON deliveries (host, next_at) WHERE state = 'Waiting';
CREATE INDEX deliveries_under_way ON deliveries (host, next_at) WHERE under_way;

CREATE TABLE delivery_attempts (
    delivery_id text NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    number integer NOT NULL CHECK (number > 0),
    at timestamptz NOT NULL,
    status smallint,
    error text,
    milliseconds integer CHECK (milliseconds >= 0),
    PRIMARY KEY (delivery_id, number)
);
