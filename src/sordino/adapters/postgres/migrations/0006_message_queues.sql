-- Callbacks go to URLs or to message queues.
ALTER TABLE deliveries
    ALTER COLUMN url DROP NOT NULL,
    ADD COLUMN mq jsonb CHECK (jsonb_typeof(mq) = 'object'),
    ADD CONSTRAINT deliveries_have_one_target CHECK (num_nonnulls(url, mq) = 1);
