-- The page of an app in maintenance, as JSON.
ALTER TABLE app ADD COLUMN maintenance TEXT;
