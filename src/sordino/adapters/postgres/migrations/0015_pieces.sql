-- The pieces of an object that was replaced or deleted stay until the sweep takes their blobs: whoever began to read it
-- just before finds them, as he finds the one blob of others.
CREATE OR REPLACE FUNCTION note_unreferenced_blob() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
AS $$
BEGIN
    IF OLD.pieces = 0 THEN
        INSERT INTO unreferenced_blobs (blob_id) VALUES (OLD.blob_id);
    ELSE
        INSERT INTO unreferenced_blobs (blob_id) SELECT blob_id FROM pieces WHERE object_blob = OLD.blob_id;
    END IF;
    RETURN NULL;
END;
$$;
