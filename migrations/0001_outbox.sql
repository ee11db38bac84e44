-- The outbox: events on their way to Kafka, written in the transaction that decided them.
--
-- CONTRACT for a shop that inserts in its own transaction
-- -------------------------------------------------------
--   INSERT INTO outbox (topic, key, type, data, source)
--   VALUES ('order-completed', '13085', 'order-completed', '{"order_id": "489434", …}', 'shop');
--
--   Needs:  INSERT on outbox, nothing else (GRANT INSERT ON outbox TO …).
--   Give:   topic (without namespace), key (the one the event type prescribes), type, data, source.
--   May:    event_id (unique within source; an event is counted once per id), event_time (when it happened; at most an
--           hour ahead), schema_version (older ones are lifted), causation_id, correlation_id, traceparent,
--           subject_key_id.
--   Do not: give sequence or inserted_at, or update rows.
--
--   * Rows of one key reach Kafka in the order in which their transactions committed, those of one transaction in the
--     order of their insertion. Nothing is lost; after a crash a row may be sent twice, with the same id.
--   * An insert holds its key's bucket (one of 256) until the transaction ends: insert late, commit soon. A transaction
--     that inserts several rows inserts them ORDER BY outbox_bucket(topic, key), or it may deadlock with another one;
--     a deadlock (SQLSTATE 40P01) is retried by its caller.
--   * Any isolation level will do. PREPARE TRANSACTION will not: Postgres refuses it after a NOTIFY.
--   * Postgres checks that data is JSON. Whether it is the event it claims to be is checked before it is sent: a row
--     that is not goes to outbox_refused with the reason, and the rows behind it go on.
--   * A row that was sent is deleted.

CREATE SEQUENCE outbox_sequence CACHE 1;

CREATE TABLE outbox (
    -- Drawn by the trigger below: a column default would be drawn before the lock is held.
    sequence       bigint      NOT NULL PRIMARY KEY,
    topic          text        NOT NULL,
    key            text        NOT NULL,
    type           text        NOT NULL,
    schema_version integer,
    -- json, not jsonb: the text is kept as it was written, with the order of its members and the digits of its numbers,
    -- and is only passed through.
    data           json        NOT NULL,
    event_id       text        NOT NULL DEFAULT gen_random_uuid()::text,
    source         text        NOT NULL,
    event_time     timestamptz,
    causation_id   text,
    correlation_id text,
    traceparent    text,
    subject_key_id text,
    inserted_at    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    -- A queue's dead rows lie where the next select begins.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000
);

COMMENT ON TABLE outbox IS 'Events not yet in Kafka. The contract for inserting is in the migration that made it.';
COMMENT ON COLUMN outbox.sequence IS 'Within a key: the order of commits. Drawn by the trigger.';
COMMENT ON COLUMN outbox.schema_version IS 'The version of data; none is the newest.';
COMMENT ON COLUMN outbox.event_time IS 'When it happened. None: drawn on insertion, strictly increasing within a key.';

-- Rows that are not events, with the reason. To send one after all: correct it, insert it into outbox, delete it here.
CREATE TABLE outbox_refused (
    LIKE outbox,
    reason     text        NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (sequence)
);

-- The bucket that orders a key: 0 to 255.
CREATE FUNCTION outbox_bucket(topic text, key text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (hashtextextended(topic || E'\x1f' || key, 0) & 255)::integer;

-- The newest event time drawn in each bucket, in microseconds since 1970. Sequences, not rows: they are seen by every
-- isolation level, keep no dead versions, and are written under the bucket's lock only.
CREATE SCHEMA outbox_clock;
DO $$
BEGIN
    FOR bucket IN 0..255 LOOP
        EXECUTE format('CREATE SEQUENCE outbox_clock.bucket_%s', bucket);
    END LOOP;
END
$$;

-- Runs as its owner, so that an inserter needs no right on the sequences.
CREATE FUNCTION outbox_before_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bucket   integer := public.outbox_bucket(NEW.topic, NEW.key);
    clock    regclass;
    newest   bigint;
BEGIN
    IF bucket IS NULL THEN
        RAISE not_null_violation USING MESSAGE = 'outbox: topic and key must not be null';
    END IF;
    -- The first number spells "outb"; it keeps these locks apart from others'.
    PERFORM pg_advisory_xact_lock(1869968482, bucket);
    -- Whoever held the lock before has committed: from here on, a greater number is a later commit.
    NEW.sequence := nextval('public.outbox_sequence');
    IF NEW.event_time IS NULL THEN
        clock := ('outbox_clock.bucket_' || bucket)::regclass;
        newest := coalesce(pg_sequence_last_value(clock), 0);
        newest := greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, newest + 1);
        PERFORM setval(clock, newest);
        NEW.event_time := timestamptz 'epoch' + newest * interval '1 microsecond';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER outbox_before_insert BEFORE INSERT ON outbox
FOR EACH ROW EXECUTE FUNCTION outbox_before_insert();

CREATE FUNCTION outbox_after_insert() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY outbox;
    RETURN NULL;
END
$$;

CREATE TRIGGER outbox_after_insert AFTER INSERT ON outbox
FOR EACH STATEMENT EXECUTE FUNCTION outbox_after_insert();

-- Who alone may do something, until when by this database's clock.
CREATE TABLE lease (
    name       text        NOT NULL PRIMARY KEY,
    holder     text        NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What the gateway answered to a command that carried an Idempotency-Key. Kept for 24 hours.
CREATE TABLE idempotency_key (
    key             text        NOT NULL PRIMARY KEY,
    request_target  text        NOT NULL,
    request_sha256  bytea       NOT NULL,
    -- None only within the transaction that inserts the row first, so that a second request of the key waits for it.
    response_status smallint,
    response_body   text,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idempotency_key_created_at ON idempotency_key (created_at);

-- The gateway's decision state: what it must know to accept or refuse orders and cancellations.
CREATE TABLE decision_order (
    order_id      text        NOT NULL PRIMARY KEY,
    event_id      uuid        NOT NULL,
    member_id     text,
    currency      text        NOT NULL,
    event_sha256  bytea       NOT NULL,
    decided_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE decision_order_item (
    order_id        text   NOT NULL REFERENCES decision_order,
    product_id      text   NOT NULL,
    ordered_units   bigint NOT NULL,
    ordered_minor   bigint NOT NULL,
    cancelled_units bigint NOT NULL DEFAULT 0,
    cancelled_minor bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, product_id)
);

CREATE TABLE decision_cancellation (
    cancellation_id text        NOT NULL PRIMARY KEY,
    event_id        uuid        NOT NULL,
    event_sha256    bytea       NOT NULL,
    decided_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
