-- The attempts whose workers vanished: a job that kills its workers is not run for ever.
ALTER TABLE jobs ADD COLUMN lost_attempts integer[] NOT NULL DEFAULT '{}';

-- Which jobs ended first. Submitting a job costs nothing here.
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;
