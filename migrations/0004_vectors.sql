-- Columns of vectors and the index that finds the nearest ones: pgvector.
CREATE EXTENSION IF NOT EXISTS vector;
