-- The hash of a webhook's body that must not count twice, whatever id it comes with.
ALTER TABLE delivery ADD COLUMN digest BLOB;
CREATE UNIQUE INDEX delivery_digest ON delivery (app, digest) WHERE digest IS NOT NULL;
