-- 電子証明書の申込み・承認・発行・失効理由・失効リスト (P-182).

-- Why a certificate was revoked, in the words of RFC 5280; under the MAC of the row when it is there.
ALTER TABLE certificate ADD COLUMN revoked_for TEXT;

-- 申込み: what is asked for, who has looked at it, what was issued. Nothing about a person: how to reach the office stands in the
-- notice to the operator.
CREATE TABLE certificate_request (
  request_id      TEXT    NOT NULL,                                    -- 申込番号
  organization    TEXT    NOT NULL,                                    -- 事業所番号 / 保険者番号 / 都道府県 / operator
  terminal        TEXT    NOT NULL,                                    -- 端末名
  connector       BOOLEAN NOT NULL,                                    -- 無人の接続プログラム用
  csr             TEXT,                                                -- PEM; none: key and certificate are handed over as PKCS #12
  key_digest      TEXT,                                                -- SHA-256 of the public key, hexadecimal
  renews          TEXT,                                                -- fingerprint of the certificate it was asked for over
  made_at         BIGINT  NOT NULL,                                    -- 申込日時
  checked_by      TEXT,                                                -- first person who vouches for it
  checked_over    TEXT,                                                -- and the certificate they came over
  approved_by     TEXT,                                                -- another person, of the operator
  code_digest     TEXT,                                                -- of the 受取番号, hexadecimal
  attempts        INTEGER NOT NULL,                                    -- wrong 受取番号 so far
  closed_at       BIGINT,
  closed_for      TEXT,                                                -- refused / locked / expired
  fingerprint     TEXT,                                                -- what was issued
  certificate     TEXT,                                                -- the same, PEM
  mac             BYTEA   NOT NULL,
  PRIMARY KEY (request_id)
) STRICT;
SELECT kiban_distribute('certificate_request', '');
CREATE INDEX certificate_request_made ON certificate_request (made_at);
CREATE INDEX certificate_request_renews ON certificate_request (renews);

-- 失効リスト: the newest one, signed by the authority, for every server to publish.
CREATE TABLE revocation_list (
  issuer          TEXT    NOT NULL,                                    -- SHA-256 of the authority's certificate
  made_at         BIGINT  NOT NULL,
  der             BYTEA   NOT NULL,
  PRIMARY KEY (issuer)
) STRICT;
SELECT kiban_distribute('revocation_list', '');
