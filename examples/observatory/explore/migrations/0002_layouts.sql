-- Where a user has put the tiles of a page.
CREATE TABLE layouts (
    user_name TEXT NOT NULL,
    page TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (user_name, page)
);
