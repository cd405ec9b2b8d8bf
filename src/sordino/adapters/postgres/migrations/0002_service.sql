-- Accounts and their keys. `number` remembers who came first.
CREATE TABLE accounts (
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    appid text PRIMARY KEY CHECK (appid ~ '^[0-9]+$'),
    uin text NOT NULL UNIQUE CHECK (uin ~ '^[0-9]+$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE access_keys (
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    secret_id text PRIMARY KEY CHECK (secret_id <> ''),
    -- In the clear: a signature is checked by making it again.
    secret_key text NOT NULL CHECK (secret_key <> ''),
    appid text NOT NULL REFERENCES accounts,
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX access_keys_by_account ON access_keys (appid, number);

-- Buckets and their queues. Names are compared as bytes, wherever the database was made.
CREATE TABLE buckets (
    name text COLLATE "C" PRIMARY KEY,
    region text NOT NULL CHECK (region <> ''),
    appid text NOT NULL REFERENCES accounts,
    created_at timestamptz NOT NULL,
    CONSTRAINT buckets_name_ends_with_appid CHECK (name LIKE '_%-' || appid)
);

CREATE INDEX buckets_by_account ON buckets (appid, name);

CREATE TABLE queues (
    queue_id text PRIMARY KEY,
    -- One speech queue a bucket.
    bucket text COLLATE "C" NOT NULL UNIQUE REFERENCES buckets,
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('Active', 'Paused')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- What jobs refer to: a job waits in a queue of its own bucket.
    UNIQUE (bucket, queue_id)
);

-- Objects. The primary key keeps a bucket's keys in the order of their UTF-8 bytes, which is the order of listings.
CREATE TABLE objects (
    bucket text COLLATE "C" NOT NULL REFERENCES buckets,
    key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 850),
    size bigint NOT NULL CHECK (size >= 0),
    etag text NOT NULL CHECK (etag ~ '^[0-9a-f]{32}(-[0-9]+)?$'),
    crc64 numeric(20) NOT NULL CHECK (crc64 BETWEEN 0 AND 18446744073709551615),
    blob_id text NOT NULL UNIQUE,
    last_modified timestamptz NOT NULL,
    content_type text NOT NULL,
    headers jsonb NOT NULL CHECK (jsonb_typeof(headers) = 'object'),
    metadata jsonb NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
    storage_class text NOT NULL,
    PRIMARY KEY (bucket, key)
);

-- Blobs that no object refers to: any more, or not yet. `since` is when their bytes may go; for a blob that is being
-- written that lies ahead, later than any upload takes.
CREATE TABLE unreferenced_blobs (
    blob_id text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX unreferenced_blobs_by_age ON unreferenced_blobs (since);

-- A trigger, so that no way of replacing or deleting an object can forget its blob.
CREATE FUNCTION note_unreferenced_blob() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO unreferenced_blobs (blob_id) VALUES (OLD.blob_id);
    RETURN NULL;
END;
$$;

CREATE TRIGGER objects_deleted AFTER DELETE ON objects
    FOR EACH ROW EXECUTE FUNCTION note_unreferenced_blob();

CREATE TRIGGER objects_replaced AFTER UPDATE OF blob_id ON objects
    FOR EACH ROW WHEN (OLD.blob_id IS DISTINCT FROM NEW.blob_id) EXECUTE FUNCTION note_unreferenced_blob();

-- Jobs. What is asked for and what came out are values nobody searches by: one jsonb each.
CREATE TABLE jobs (
    job_id text PRIMARY KEY,
    bucket text COLLATE "C" NOT NULL,
    region text NOT NULL,
    queue_id text NOT NULL,
    input_object text NOT NULL,
    operation jsonb NOT NULL CHECK (jsonb_typeof(operation) = 'object'),
    level smallint NOT NULL GENERATED ALWAYS AS (coalesce((operation ->> 'job_level')::smallint, 0)) STORED
        CHECK (level BETWEEN 0 AND 2),
    state text NOT NULL CHECK (state IN ('Submitted', 'Running', 'Success', 'Failed', 'Pause', 'Cancel')),
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    code text NOT NULL,
    message text NOT NULL,
    progress smallint NOT NULL CHECK (progress BETWEEN 0 AND 100),
    attempt integer NOT NULL CHECK (attempt >= 0),
    faults integer NOT NULL DEFAULT 0 CHECK (faults >= 0),
    media_info jsonb CHECK (jsonb_typeof(media_info) = 'object'),
    FOREIGN KEY (bucket, queue_id) REFERENCES queues (bucket, queue_id),
    CONSTRAINT jobs_end_when_terminal CHECK ((state IN ('Success', 'Failed', 'Cancel')) = (ended_at IS NOT NULL)),
    CONSTRAINT jobs_run_once_started CHECK (
        state NOT IN ('Running', 'Success') OR (started_at IS NOT NULL AND attempt > 0)),
    CONSTRAINT jobs_wait_unstarted CHECK (state NOT IN ('Submitted', 'Pause') OR started_at IS NULL),
    CONSTRAINT jobs_code_agrees CHECK (
        CASE state WHEN 'Failed' THEN code <> 'Success' WHEN 'Success' THEN code = 'Success' ELSE true END)
);

CREATE INDEX jobs_by_age ON jobs (bucket, created_at, job_id);

-- Who is next in a queue, how many of it run, and whether a queue is idle.
CREATE INDEX jobs_unfinished ON jobs (queue_id, state, level DESC, created_at, job_id)
    WHERE state IN ('Submitted', 'Running', 'Pause');
