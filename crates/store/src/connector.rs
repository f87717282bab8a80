//! 接続プログラム: certificates that are no terminal of a person but an unattended program, bound to an organisation without
//! any password (P-165). The certificate itself stands in `certificate` like any other.

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::standing::{Pages, Standing};
use crate::{Closing, Keyring, Store, StoreError, Tx};
use kiban_domain::{Organization, Timestamp};

const PUT: &str =
    "INSERT INTO connector (fingerprint, organization, bound_at, mac) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const LIST: &str = "SELECT fingerprint, organization, may_export, mac FROM connector
     WHERE fingerprint > $1 ORDER BY fingerprint LIMIT $2";
pub(crate) const CHANGED: &str = "SELECT fingerprint, organization, may_export, mac, item, number
     FROM standing_change LEFT JOIN connector ON fingerprint = item
     WHERE kind = 'connector' AND (number, item) > ($1, $2) ORDER BY number, item LIMIT $3";
const ONE: &str = "SELECT fingerprint, organization, may_export, mac FROM connector WHERE fingerprint = $1";
const ALLOW: &str = "UPDATE connector SET may_export = $2, mac = $3 WHERE fingerprint = $1";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, LIST, CHANGED, ONE, ALLOW];

/// A certificate of an unattended program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connector {
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub fingerprint: String,
    /// Whose program it is.
    pub organization: Organization,
    /// Whether the operator has allowed it to export the whole municipality.
    pub may_export: bool,
}

impl Tx {
    /// Makes the certificate one of an unattended program, which may not export. Nothing takes that back but its revocation.
    pub async fn put_connector(
        &mut self,
        fingerprint: &str,
        organization: Organization,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let organization = organization.to_string();
        let mac = door(fingerprint, &organization, false).mac(&self.keys);
        self.raw.run(PUT, args![fingerprint, &organization, at.as_microsecond(), &mac]).await?;
        self.note_standing(Standing::Connector, fingerprint);
        Ok(())
    }

    /// Allows an unattended program to export its whole municipality, or takes that back. What it is now; `None` when the
    /// certificate is none, or its row damaged.
    pub async fn allow_export(&mut self, fingerprint: &str, may_export: bool) -> Result<Option<Connector>, StoreError> {
        let rows = self.raw.rows(ONE, args![fingerprint]).await?;
        let Some(known) = rows.first().map(|row| connector_row(&self.keys, row)).transpose()?.flatten() else {
            return Ok(None);
        };
        let mac = door(fingerprint, &known.organization.to_string(), may_export).mac(&self.keys);
        self.raw.run(ALLOW, args![fingerprint, may_export, &mac]).await?;
        self.note_standing(Standing::Connector, fingerprint);
        if !may_export {
            self.note_closing(Closing::Export { fingerprint: fingerprint.to_owned() });
        }
        Ok(Some(Connector { may_export, ..known }))
    }
}

impl Store {
    /// Certificates of unattended programs; rows whose MAC fails are left out.
    pub async fn connectors(&self) -> Result<Vec<Connector>, StoreError> {
        let (mut pages, mut all) = (Pages::of(LIST), Vec::new());
        while let Some(rows) = pages.next(&self.engine).await? {
            for row in &rows {
                all.extend(readable("connector", connector_row(&self.keys, row))?);
            }
        }
        Ok(all)
    }
}

/// A row of [`LIST`]; `None` when its MAC fails.
pub(crate) fn connector_row(keys: &Keyring, row: &Row) -> Result<Option<Connector>, StoreError> {
    let (fingerprint, organization, may_export) = (row.text(0)?, row.text(1)?, row.boolean(2)?);
    if !door(&fingerprint, &organization, may_export).fits(keys, &row.blob(3)?) {
        return Ok(None);
    }
    let organization = Organization::parse(&organization).map_err(|_| StoreError::Unreadable("connector"))?;
    Ok(Some(Connector { fingerprint, organization, may_export }))
}

/// A program that may not export has the MAC it had before there was such a right.
fn door(fingerprint: &str, organization: &str, may_export: bool) -> Door {
    let door = Door::new("connector").text(fingerprint).text(organization);
    if may_export { door.text("export") } else { door }
}
