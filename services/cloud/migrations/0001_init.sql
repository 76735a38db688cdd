-- Facts about the store itself: its id, and a proof that the sealer is the right one.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- One row per resource: its newest revision.
CREATE TABLE resource (
    namespace TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    uid       TEXT    NOT NULL,
    revision  INTEGER NOT NULL,
    PRIMARY KEY (namespace, kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX resource_namespaces ON resource (namespace) WHERE kind = 'namespace';

-- One row per revision, never changed. Bodies of secrets are sealed; times are nanoseconds
-- since 1970; labels and references are JSON.
CREATE TABLE revision (
    namespace   TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    uid         TEXT    NOT NULL,
    digest      BLOB    NOT NULL,
    body        BLOB    NOT NULL,
    labels      TEXT    NOT NULL,
    refers_to   TEXT    NOT NULL,
    author      TEXT    NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (namespace, kind, name, revision),
    FOREIGN KEY (namespace, kind, name) REFERENCES resource ON DELETE CASCADE
) STRICT;

-- What the newest revision of each resource refers to.
CREATE TABLE reference (
    namespace TEXT NOT NULL,
    from_kind TEXT NOT NULL,
    from_name TEXT NOT NULL,
    to_kind   TEXT NOT NULL,
    to_name   TEXT NOT NULL,
    PRIMARY KEY (namespace, from_kind, from_name, to_kind, to_name),
    FOREIGN KEY (namespace, from_kind, from_name) REFERENCES resource ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX reference_to ON reference (namespace, to_kind, to_name);

-- The newest sequence of each namespace; it outlives the namespace.
CREATE TABLE sequence (
    namespace TEXT    NOT NULL PRIMARY KEY,
    newest    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    namespace TEXT    NOT NULL,
    sequence  INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    uid       TEXT    NOT NULL,
    revision  INTEGER NOT NULL,
    change    TEXT    NOT NULL,
    time      INTEGER NOT NULL,
    PRIMARY KEY (namespace, sequence)
) STRICT, WITHOUT ROWID;

-- Keys are bytes, so that a prefix has an end: itself and 0xFF, which no text contains.
CREATE TABLE record (
    namespace  TEXT    NOT NULL,
    collection TEXT    NOT NULL,
    key        BLOB    NOT NULL,
    version    INTEGER NOT NULL,
    value      BLOB    NOT NULL,
    PRIMARY KEY (namespace, collection, key)
) STRICT;
