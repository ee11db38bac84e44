-- Generations beside the live one: rebuilt from the log, kept after a cut-over, or of a moment in the past.
ALTER TABLE generation
    ADD COLUMN state text NOT NULL DEFAULT 'live'
        CHECK (state IN ('hydrating', 'catching up', 'ready', 'live', 'frozen')),
    -- The event time up to which it was folded; none for a generation of the whole log.
    ADD COLUMN as_of timestamptz,
    -- The log's end when its fold began: {"order-completed": [12, 7, …], …}, by partition.
    ADD COLUMN captured jsonb,
    -- The processors whose generations the same command makes, one after the other.
    ADD COLUMN together text[] NOT NULL DEFAULT '{}',
    -- When it ceased to be live.
    ADD COLUMN frozen_at timestamptz;

COMMENT ON COLUMN generation.state IS
    'hydrating: being folded in bulk; catching up: follows the tail; ready: complete, not served; live: served; frozen: kept';
