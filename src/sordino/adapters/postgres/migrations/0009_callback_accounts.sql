-- Whom the deliveries of an account hold up: that account alone. Accounts and hosts stand in rings, in an order that
-- nobody chooses, so that one who starts anywhere in them comes past each.
ALTER TABLE deliveries ADD COLUMN account text COLLATE "C";

UPDATE deliveries
   SET account = buckets.appid
  FROM jobs JOIN buckets ON buckets.name = jobs.bucket
 WHERE jobs.job_id = deliveries.job_id;

ALTER TABLE deliveries
    ALTER COLUMN account SET NOT NULL,
    ADD COLUMN account_place bigint NOT NULL GENERATED ALWAYS AS (hashtextextended(account, 0)) STORED,
    ADD COLUMN host_place bigint NOT NULL GENERATED ALWAYS AS (hashtextextended(host, 0)) STORED,
    ADD COLUMN repeated boolean NOT NULL GENERATED ALWAYS AS (attempts > 0) STORED;

DROP INDEX deliveries_due;
-- Each has a condition that always holds, and that only its own queries name: before there are statistics the planner
-- takes one index for as good as the other, and would read a whole queue.
CREATE INDEX deliveries_of_accounts ON deliveries (repeated, account_place, next_at)
    WHERE state = 'Waiting' AND attempts >= 0;
CREATE INDEX deliveries_of_hosts ON deliveries (repeated, account_place, host_place, next_at)
    WHERE state = 'Waiting' AND number >= 0;
