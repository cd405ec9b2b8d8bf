-- Which web pages of other origins may use a bucket; NULL: as the server is set.
ALTER TABLE buckets
    ADD COLUMN cors jsonb CHECK (jsonb_typeof(cors) = 'object'),
    -- Part of it, in a column of its own since every request reads it.
    ADD COLUMN vary_origin boolean NOT NULL DEFAULT false;
