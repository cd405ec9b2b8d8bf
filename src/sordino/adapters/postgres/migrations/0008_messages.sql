-- Message queues and topics of our own. A message is received by hiding it for a while; who has it deletes it.
CREATE TABLE mq_queues (
    queue_id text PRIMARY KEY,
    appid text NOT NULL REFERENCES accounts,
    name text COLLATE "C" NOT NULL,
    polling_wait integer NOT NULL CHECK (polling_wait BETWEEN 0 AND 30),
    visibility integer NOT NULL CHECK (visibility > 0),
    max_size integer NOT NULL CHECK (max_size > 0),
    retention integer NOT NULL CHECK (retention > 0),
    max_messages integer NOT NULL CHECK (max_messages > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (appid, name)
);

CREATE TABLE mq_messages (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue_id text NOT NULL REFERENCES mq_queues ON DELETE CASCADE,
    body text NOT NULL,
    sent_at timestamptz NOT NULL,
    first_received_at timestamptz,
    visible_at timestamptz NOT NULL,
    -- How often it was received; the number of the last receipt.
    dequeues integer NOT NULL DEFAULT 0 CHECK (dequeues >= 0)
);

CREATE INDEX mq_messages_visible ON mq_messages (queue_id, visible_at, number);
CREATE INDEX mq_messages_by_age ON mq_messages (queue_id, sent_at);

CREATE TABLE mq_topics (
    topic_id text PRIMARY KEY,
    appid text NOT NULL REFERENCES accounts,
    name text COLLATE "C" NOT NULL,
    max_size integer NOT NULL CHECK (max_size > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (appid, name)
);

CREATE TABLE mq_subscriptions (
    subscription_id text PRIMARY KEY,
    topic_id text NOT NULL REFERENCES mq_topics ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    queue_id text NOT NULL REFERENCES mq_queues ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    UNIQUE (topic_id, name)
);

CREATE INDEX mq_subscriptions_by_queue ON mq_subscriptions (queue_id);
