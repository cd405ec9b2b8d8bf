-- Quotas (NULL: none), and how long what jobs write is kept: NULL: the server's setting, 0: for ever.
ALTER TABLE buckets
    ADD COLUMN max_bytes bigint CHECK (max_bytes >= 0),
    ADD COLUMN max_objects bigint CHECK (max_objects >= 0),
    ADD COLUMN results_days integer CHECK (results_days >= 0);

-- Which job wrote an object, if one did; whoever writes it anew, or copies it, makes it an object of their own.
ALTER TABLE objects ADD COLUMN job_id text;
CREATE INDEX objects_of_jobs ON objects (bucket, last_modified) WHERE job_id IS NOT NULL;

-- A part knows its bucket: its upload's row may be gone before it is.
ALTER TABLE parts ADD COLUMN bucket text COLLATE "C";
UPDATE parts SET bucket = uploads.bucket FROM uploads WHERE uploads.upload_id = parts.upload_id;

CREATE FUNCTION name_bucket_of_part() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    SELECT uploads.bucket INTO NEW.bucket FROM uploads WHERE uploads.upload_id = NEW.upload_id;
    RETURN NEW;
END;
$$;

CREATE TRIGGER parts_have_a_bucket BEFORE INSERT ON parts
    FOR EACH ROW EXECUTE FUNCTION name_bucket_of_part();

-- What a bucket holds is the sum of its rows: bytes of objects and of parts, and objects. A statement that changes it
-- adds a row and touches no other, so nobody waits for anybody. Rows are folded into one now and then.
CREATE TABLE bucket_usage (
    bucket text COLLATE "C" NOT NULL,
    bytes bigint NOT NULL,
    objects bigint NOT NULL,
    folded boolean NOT NULL DEFAULT false
);

CREATE INDEX bucket_usage_by_bucket ON bucket_usage (bucket) INCLUDE (bytes, objects);
CREATE INDEX bucket_usage_unfolded ON bucket_usage (bucket) WHERE NOT folded;

INSERT INTO bucket_usage (bucket, bytes, objects, folded)
SELECT bucket, sum(bytes), sum(objects), true
  FROM (SELECT bucket, size AS bytes, 1 AS objects FROM objects
        UNION ALL
        SELECT bucket, size, 0 FROM parts) AS held
 GROUP BY bucket;

-- Triggers, so that no way of writing or deleting can forget to count. The argument is what a row counts as.
CREATE FUNCTION count_added() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO bucket_usage (bucket, bytes, objects)
    SELECT bucket, sum(size), count(*) * TG_ARGV[0]::bigint FROM added GROUP BY bucket;
    RETURN NULL;
END;
$$;

CREATE FUNCTION count_removed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO bucket_usage (bucket, bytes, objects)
    SELECT bucket, -sum(size), -count(*) * TG_ARGV[0]::bigint FROM removed GROUP BY bucket;
    RETURN NULL;
END;
$$;

CREATE FUNCTION count_replaced() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO bucket_usage (bucket, bytes, objects)
    SELECT bucket, sum(bytes), sum(objects) * TG_ARGV[0]::bigint
      FROM (SELECT bucket, size AS bytes, 1 AS objects FROM added
            UNION ALL
            SELECT bucket, -size, -1 FROM removed) AS change
     GROUP BY bucket
    HAVING sum(bytes) <> 0 OR sum(objects) <> 0;
    RETURN NULL;
END;
$$;

CREATE TRIGGER objects_count_added AFTER INSERT ON objects
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_added(1);
CREATE TRIGGER objects_count_removed AFTER DELETE ON objects
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_removed(1);
CREATE TRIGGER objects_count_replaced AFTER UPDATE ON objects
    REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_replaced(1);
CREATE TRIGGER parts_count_added AFTER INSERT ON parts
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_added(0);
CREATE TRIGGER parts_count_removed AFTER DELETE ON parts
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_removed(0);
CREATE TRIGGER parts_count_replaced AFTER UPDATE ON parts
    REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_replaced(0);

-- Quotas are looked at as a transaction commits, when it holds all other locks that it will: so those that add to a
-- bucket with a quota take turns, each sees what those before it committed, and none waits for one that waits for it.
CREATE FUNCTION check_quota() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
DECLARE
    quota record;
    used record;
BEGIN
    SELECT max_bytes, max_objects INTO quota FROM buckets WHERE name = NEW.bucket;
    IF quota.max_bytes IS NULL AND quota.max_objects IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(format('sordino quota of %s.%s', TG_TABLE_SCHEMA, NEW.bucket), 0));
    SELECT sum(bytes) AS bytes, sum(objects) AS objects INTO used FROM bucket_usage WHERE bucket = NEW.bucket;
    -- Who adds nothing of what is too much already may go on: a quota can be set below what there is.
    IF NEW.bytes > 0 AND used.bytes > quota.max_bytes THEN
        RAISE EXCEPTION USING ERRCODE = 'SQ001', MESSAGE = 'quota exceeded',
            DETAIL = concat_ws(' ', NEW.bucket, 'bytes', used.bytes, quota.max_bytes);
    ELSIF NEW.objects > 0 AND used.objects > quota.max_objects THEN
        RAISE EXCEPTION USING ERRCODE = 'SQ001', MESSAGE = 'quota exceeded',
            DETAIL = concat_ws(' ', NEW.bucket, 'objects', used.objects, quota.max_objects);
    END IF;
    RETURN NULL;
END;
$$;

CREATE CONSTRAINT TRIGGER bucket_usage_within_quota AFTER INSERT ON bucket_usage
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NOT NEW.folded AND (NEW.bytes > 0 OR NEW.objects > 0)) EXECUTE FUNCTION check_quota();
