-- ケアプラン標準仕様 4.1: one set for each office number and サービス種類, so one serial names a set of each type between two offices.
-- Empty: the names had no types (202208), or the message is older than this column.
ALTER TABLE slip ADD COLUMN types TEXT NOT NULL DEFAULT '';
DROP INDEX slip_serial;
CREATE UNIQUE INDEX slip_serial ON slip (receiver, sender, serial, types) WHERE state <> 'withdrawn';
