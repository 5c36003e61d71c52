-- What obscalc has computed of an observation. No row, or a null total: still pending.
CREATE TABLE calculations (
    observation_id bigint PRIMARY KEY REFERENCES observations (id) ON DELETE CASCADE,
    total_s double precision,
    exposures integer,
    calculator text NOT NULL DEFAULT '',
    calculated_at timestamptz NOT NULL DEFAULT now()
);
