-- The gateway's decision state, continued: what it must know to let a member speak in a conversation, or not.
CREATE TABLE decision_conversation (
    conversation_id  uuid        NOT NULL PRIMARY KEY,
    member_id        text        NOT NULL,
    title            text,
    -- The event that gave it this title: its creation, or the last renaming.
    title_event_id   uuid        NOT NULL,
    -- None while it is open. Whoever posts or closes holds this row's lock: nothing is said after the close.
    closing_event_id uuid,
    closed_at        timestamptz,
    decided_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((closing_event_id IS NULL) = (closed_at IS NULL))
);
