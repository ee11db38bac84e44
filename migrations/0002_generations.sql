-- Which generation of each processor's tables is live. A generation is a Postgres schema.
CREATE TABLE generation (
    processor    text NOT NULL,
    generation   uuid NOT NULL PRIMARY KEY,
    schema_name  text NOT NULL UNIQUE,
    fold_version text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- One row a processor: the map that readers take in one snapshot.
CREATE TABLE live_generation (
    processor   text NOT NULL PRIMARY KEY,
    generation  uuid NOT NULL REFERENCES generation,
    promotion   uuid NOT NULL,
    promoted_at timestamptz NOT NULL DEFAULT now()
);
