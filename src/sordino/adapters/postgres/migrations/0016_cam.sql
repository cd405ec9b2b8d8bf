-- Who may do what. Secrets in these tables are encrypted with a key that is not in the database.
ALTER TABLE accounts
    ADD COLUMN name text NOT NULL DEFAULT '',
    ADD COLUMN enabled boolean NOT NULL DEFAULT true,
    ADD COLUMN requests_per_second integer CHECK (requests_per_second > 0),
    ADD COLUMN queued_jobs integer CHECK (queued_jobs >= 0),
    ADD COLUMN audio_seconds bigint CHECK (audio_seconds >= 0);

CREATE TABLE users (
    uin text PRIMARY KEY CHECK (uin ~ '^[0-9]+$'),
    appid text NOT NULL REFERENCES accounts,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    UNIQUE (appid, name),
    -- Referred to with the account, so that nobody is in a group of another one.
    UNIQUE (appid, uin)
);

CREATE TABLE groups (
    appid text NOT NULL REFERENCES accounts,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    description text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    PRIMARY KEY (appid, name)
);

CREATE TABLE group_members (
    appid text NOT NULL,
    group_name text COLLATE "C" NOT NULL,
    uin text NOT NULL,
    PRIMARY KEY (appid, group_name, uin),
    FOREIGN KEY (appid, group_name) REFERENCES groups ON DELETE CASCADE,
    FOREIGN KEY (appid, uin) REFERENCES users (appid, uin) ON DELETE CASCADE
);

CREATE INDEX group_members_by_user ON group_members (appid, uin);

CREATE TABLE roles (
    appid text NOT NULL REFERENCES accounts,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    trust text NOT NULL,
    description text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    PRIMARY KEY (appid, name)
);

-- Of the account's own; presets are in the program.
CREATE TABLE policies (
    appid text NOT NULL REFERENCES accounts,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    document text NOT NULL,
    description text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (appid, name)
);

-- `policy` is one of the account's or a preset's name; exactly one of the three others says whom it is attached to.
CREATE TABLE attachments (
    appid text NOT NULL REFERENCES accounts,
    policy text COLLATE "C" NOT NULL,
    uin text,
    group_name text COLLATE "C",
    role text COLLATE "C",
    CHECK (num_nonnulls(uin, group_name, role) = 1),
    UNIQUE NULLS NOT DISTINCT (appid, policy, uin, group_name, role),
    FOREIGN KEY (appid, uin) REFERENCES users (appid, uin) ON DELETE CASCADE,
    FOREIGN KEY (appid, group_name) REFERENCES groups ON DELETE CASCADE,
    FOREIGN KEY (appid, role) REFERENCES roles ON DELETE CASCADE
);

CREATE INDEX attachments_by_user ON attachments (appid, uin) WHERE uin IS NOT NULL;
CREATE INDEX attachments_by_group ON attachments (appid, group_name) WHERE group_name IS NOT NULL;
CREATE INDEX attachments_by_role ON attachments (appid, role) WHERE role IS NOT NULL;

-- The role that CI reads and writes as: accounts that there are have had its rights without it.
INSERT INTO roles (appid, name, trust, description, created_at)
SELECT appid, 'CI_QCSRole',
       '{"version":"2.0","statement":[{"effect":"allow","principal":{"service":["ci.qcloud.com"]},"action":["name/sts:AssumeRole"]}]}',
       'What jobs read and write as.', now()
  FROM accounts;
INSERT INTO attachments (appid, policy, role) SELECT appid, 'QcloudAccessForCIRole', 'CI_QCSRole' FROM accounts;

-- `secret_key` was in the clear; the service encrypts those that still are when it starts.
ALTER TABLE access_keys RENAME COLUMN secret_key TO secret;
ALTER TABLE access_keys
    ADD COLUMN sealed boolean NOT NULL DEFAULT false,
    ADD COLUMN uin text,
    ADD COLUMN requests_per_second integer CHECK (requests_per_second > 0),
    -- To the minute or so: whoever wants to disable a key sees whether somebody uses it.
    ADD COLUMN used_at timestamptz,
    ADD FOREIGN KEY (appid, uin) REFERENCES users (appid, uin) ON DELETE CASCADE;
ALTER TABLE access_keys ALTER COLUMN sealed DROP DEFAULT;

-- Keys that end by themselves. `parent` asked for them; without a role they act as whoever owns it.
CREATE TABLE temporary_keys (
    secret_id text PRIMARY KEY CHECK (secret_id <> ''),
    sealed text NOT NULL,
    token_sha256 text NOT NULL,
    appid text NOT NULL REFERENCES accounts,
    parent text NOT NULL REFERENCES access_keys ON DELETE CASCADE,
    role text COLLATE "C",
    session_name text NOT NULL,
    policy text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- `appid` is the role's account, which may trust another account's key.
    FOREIGN KEY (appid, role) REFERENCES roles ON DELETE CASCADE
);

CREATE INDEX temporary_keys_by_end ON temporary_keys (expires_at);
-- Those of an account that are good yet are counted whenever one is asked for, from this index alone.
CREATE INDEX temporary_keys_by_parent ON temporary_keys (parent, expires_at);
CREATE INDEX temporary_keys_by_role ON temporary_keys (appid, role);

ALTER TABLE buckets ADD COLUMN policy text;

-- Who was let do what, and who was not. No references: it outlives what it tells of.
CREATE TABLE audit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    -- Of the caller, as far as it is known; an operator has no account.
    appid text,
    caller text NOT NULL,
    secret_id text,
    source text NOT NULL,
    request_id text NOT NULL,
    action text NOT NULL,
    resource text NOT NULL,
    -- Of the resource's owner: whose log it is.
    owner text,
    decision text NOT NULL CHECK (decision IN ('allow', 'deny')),
    code text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT ''
);

CREATE INDEX audit_by_time ON audit (at, number);
CREATE INDEX audit_by_caller ON audit (appid, number);
CREATE INDEX audit_by_owner ON audit (owner, number);
CREATE INDEX audit_by_key ON audit (secret_id, number) WHERE secret_id IS NOT NULL;
CREATE INDEX audit_by_request ON audit (request_id);

-- Seconds of audio that the jobs of an account have read of a day.
CREATE TABLE audio_usage (
    appid text NOT NULL REFERENCES accounts,
    day date NOT NULL,
    seconds double precision NOT NULL CHECK (seconds >= 0),
    PRIMARY KEY (appid, day)
);

-- Who may use the admin API.
CREATE TABLE admin_tokens (
    name text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    token_sha256 text NOT NULL UNIQUE,
    -- Of the one account that it may see and change; NULL: all of them.
    appid text REFERENCES accounts,
    read_only boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    used_at timestamptz
);
