-- Programs and their observations, and the two programs that every new environment begins with.
CREATE TABLE programs (
    id text PRIMARY KEY,
    title text NOT NULL,
    investigator text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE observations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    program_id text NOT NULL REFERENCES programs (id) ON DELETE CASCADE,
    title text NOT NULL,
    instrument text NOT NULL,
    magnitude double precision NOT NULL CHECK (magnitude BETWEEN -2 AND 28),
    kind text NOT NULL DEFAULT 'science' CHECK (kind IN ('science', 'calibration')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX observations_of_program ON observations (program_id, id);

INSERT INTO programs (id, title, investigator) VALUES
    ('G-2026B-0101-Q', 'Host galaxies of fast radio bursts', 'Reference PI'),
    ('G-2026B-0102-Q', 'Atmospheres of sub-Neptunes in transit', 'Reference PI');
INSERT INTO observations (program_id, title, instrument, magnitude) VALUES
    ('G-2026B-0101-Q', 'FRB host, deep i band', 'GMOS-N', 23.4),
    ('G-2026B-0101-Q', 'FRB host, long slit', 'GMOS-S', 21.8),
    ('G-2026B-0102-Q', 'Transit of a sub-Neptune', 'GHOST', 11.2);
