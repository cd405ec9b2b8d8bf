-- What an object's access control list says; 'default': what its bucket's does.
ALTER TABLE buckets ADD COLUMN acl text NOT NULL DEFAULT 'private' CHECK (acl IN ('private', 'public-read'));

ALTER TABLE objects
    ADD COLUMN acl text NOT NULL DEFAULT 'default' CHECK (acl IN ('default', 'private', 'public-read')),
    -- How many blobs hold its bytes: 0, the one of its blob_id does; else those of the pieces, and blob_id only names them.
    ADD COLUMN pieces integer NOT NULL DEFAULT 0 CHECK (pieces BETWEEN 0 AND 10000);

-- The blobs of objects that were uploaded in parts, in their order.
CREATE TABLE pieces (
    object_blob text NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    blob_id text NOT NULL UNIQUE,
    size bigint NOT NULL CHECK (size >= 0),
    PRIMARY KEY (object_blob, number)
);

CREATE OR REPLACE FUNCTION note_unreferenced_blob() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    IF OLD.pieces = 0 THEN
        INSERT INTO unreferenced_blobs (blob_id) VALUES (OLD.blob_id);
    ELSE
        WITH gone AS (DELETE FROM pieces WHERE object_blob = OLD.blob_id RETURNING blob_id)
        INSERT INTO unreferenced_blobs (blob_id) SELECT blob_id FROM gone;
    END IF;
    RETURN NULL;
END;
$$;

-- Uploads in parts that are under way. Ids and keys are compared as bytes, which is the order of their listing.
CREATE TABLE uploads (
    upload_id text COLLATE "C" PRIMARY KEY,
    bucket text COLLATE "C" NOT NULL REFERENCES buckets,
    key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 850),
    initiator text NOT NULL,
    initiated_at timestamptz NOT NULL,
    content_type text NOT NULL,
    headers jsonb NOT NULL CHECK (jsonb_typeof(headers) = 'object'),
    metadata jsonb NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
    storage_class text NOT NULL,
    acl text NOT NULL CHECK (acl IN ('default', 'private', 'public-read'))
);

CREATE INDEX uploads_by_key ON uploads (bucket, key, upload_id);
CREATE INDEX uploads_by_age ON uploads (initiated_at);

CREATE TABLE parts (
    upload_id text COLLATE "C" NOT NULL REFERENCES uploads ON DELETE CASCADE,
    number integer NOT NULL CHECK (number BETWEEN 1 AND 10000),
    blob_id text NOT NULL UNIQUE,
    size bigint NOT NULL CHECK (size >= 0),
    etag text NOT NULL CHECK (etag ~ '^[0-9a-f]{32}$'),
    crc64 numeric(20) NOT NULL CHECK (crc64 BETWEEN 0 AND 18446744073709551615),
    last_modified timestamptz NOT NULL,
    PRIMARY KEY (upload_id, number)
);

-- A part's blob that became a piece of an object is referred to by that.
CREATE FUNCTION note_unreferenced_part() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO unreferenced_blobs (blob_id)
    SELECT OLD.blob_id WHERE NOT EXISTS (SELECT FROM pieces WHERE blob_id = OLD.blob_id);
    RETURN NULL;
END;
$$;

CREATE TRIGGER parts_deleted AFTER DELETE ON parts
    FOR EACH ROW EXECUTE FUNCTION note_unreferenced_part();

CREATE TRIGGER parts_replaced AFTER UPDATE OF blob_id ON parts
    FOR EACH ROW WHEN (OLD.blob_id IS DISTINCT FROM NEW.blob_id) EXECUTE FUNCTION note_unreferenced_part();
