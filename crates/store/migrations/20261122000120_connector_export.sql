-- 接続プログラムの書出し: whether the operator has allowed this one to export its whole municipality; under the MAC of the row.
ALTER TABLE connector ADD COLUMN may_export BOOLEAN NOT NULL DEFAULT FALSE;
