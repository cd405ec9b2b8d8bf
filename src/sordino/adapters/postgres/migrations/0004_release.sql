-- Which waiting jobs the task engine has. `released` says so while a job is unfinished; `release` counts the hand-overs.
-- Every unfinished job of earlier versions has its task in the engine; those tasks name no release, which counts as 0.
ALTER TABLE jobs
    ADD COLUMN released boolean NOT NULL DEFAULT false,
    ADD COLUMN release integer NOT NULL DEFAULT 0 CHECK (release >= 0);
UPDATE jobs SET released = true WHERE state IN ('Submitted', 'Running');
ALTER TABLE jobs ADD CONSTRAINT jobs_pause_unreleased CHECK (state <> 'Pause' OR NOT released);

-- Who is next in each queue.
CREATE INDEX jobs_waiting ON jobs (queue_id, level DESC, created_at, job_id) WHERE state = 'Submitted' AND NOT released;
-- What is in the engine: never more than about twice the workers.
CREATE INDEX jobs_released ON jobs (queue_id, job_id) WHERE released AND state IN ('Submitted', 'Running');
-- Ended jobs stay released, and waiting ones are not: without this the planner takes the two for independent, believes a
-- large part of all jobs to be in the engine, and reads them all.
CREATE STATISTICS jobs_engine (mcv) ON released, state FROM jobs;

-- The engine's workers that run jobs, one at a time each.
CREATE TABLE slots (
    worker_id bigint PRIMARY KEY REFERENCES procrastinate_workers ON DELETE CASCADE
);
