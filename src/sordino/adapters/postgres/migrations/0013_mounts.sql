-- Buckets whose objects lie in a bucket of another store. `sealed` is its key's secret, encrypted with a key that is not
-- in the database.
CREATE TABLE mounts (
    bucket text COLLATE "C" PRIMARY KEY REFERENCES buckets,
    url text NOT NULL,
    options jsonb NOT NULL CHECK (jsonb_typeof(options) = 'object'),
    sealed text NOT NULL
);
