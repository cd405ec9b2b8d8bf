-- The services that are open on a bucket. Buckets of earlier versions have all of them, as new ones do by default.
CREATE TABLE services (
    bucket text COLLATE "C" NOT NULL REFERENCES buckets,
    kind text NOT NULL CHECK (kind IN ('speech', 'ai', 'media')),
    opened_at timestamptz NOT NULL,
    -- Opened with the bucket, not yet by a call of the user's.
    automatic boolean NOT NULL,
    PRIMARY KEY (bucket, kind)
);
INSERT INTO services (bucket, kind, opened_at, automatic)
SELECT name, kind, created_at, true FROM buckets CROSS JOIN unnest(ARRAY['speech', 'ai', 'media']) AS kind;

-- Queues: any number a bucket, one of them the default, and jobs outlive theirs.
ALTER TABLE jobs DROP CONSTRAINT jobs_bucket_queue_id_fkey;
ALTER TABLE jobs ADD FOREIGN KEY (bucket) REFERENCES buckets;
ALTER TABLE queues
    DROP CONSTRAINT queues_bucket_key,
    DROP CONSTRAINT queues_bucket_queue_id_key,
    ADD COLUMN is_default boolean NOT NULL DEFAULT true,
    -- Queues are those of the speech service, and go before it does.
    ADD COLUMN kind text NOT NULL DEFAULT 'speech' CHECK (kind = 'speech'),
    ADD FOREIGN KEY (bucket, kind) REFERENCES services,
    ADD COLUMN notify jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(notify) = 'object'),
    -- NULL: the server's setting.
    ADD COLUMN max_size integer CHECK (max_size > 0),
    ADD COLUMN max_concurrent integer CHECK (max_concurrent > 0);
CREATE UNIQUE INDEX queues_default ON queues (bucket) WHERE is_default;
CREATE INDEX queues_by_bucket ON queues (bucket);

CREATE TABLE templates (
    template_id text PRIMARY KEY,
    bucket text COLLATE "C" NOT NULL REFERENCES buckets,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    noise_reduction jsonb NOT NULL CHECK (jsonb_typeof(noise_reduction) = 'object'),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (bucket, name)
);

-- Jobs: what they say of their callback (NULL: nothing), and lists by age: of some states, and of those in one queue or
-- of one input. The latter two are expressions so that no query for them is tried by way of the state alone.
ALTER TABLE jobs ADD COLUMN callback jsonb CHECK (jsonb_typeof(callback) = 'object');
CREATE INDEX jobs_by_state ON jobs (bucket, state, created_at, job_id);
CREATE INDEX jobs_by_queue ON jobs (bucket, (state || ' ' || queue_id), created_at, job_id);
CREATE INDEX jobs_by_input ON jobs (bucket, (state || ' ' || input_object), created_at, job_id);
-- A list of all states merges those of each.
DROP INDEX jobs_by_age;
-- What waits or runs in a queue is found by jobs_by_queue.
DROP INDEX jobs_unfinished;
