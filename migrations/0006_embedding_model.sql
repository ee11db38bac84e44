-- Products' vectors of one embedding model make a generation: vectors of two are never compared. None for generations that
-- hold no vectors, and for those of before, which hold the newest vector of any model.
ALTER TABLE generation ADD COLUMN embedding_model text;
