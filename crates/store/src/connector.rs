//! 接続プログラム: certificates that are no terminal of a person but an unattended program, bound to an organisation without
//! any password (P-165). The certificate itself stands in `certificate` like any other.

use crate::door::Door;
use crate::engine::{Row, args};
use crate::error::readable;
use crate::{Store, StoreError, Tx};
use kiban_domain::{Organization, Timestamp};

const PUT: &str =
    "INSERT INTO connector (fingerprint, organization, bound_at, mac) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const LIST: &str = "SELECT fingerprint, organization, mac FROM connector ORDER BY fingerprint";
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[PUT, LIST];

impl Tx {
    /// Makes the certificate one of an unattended program. Nothing takes that back but its revocation.
    pub async fn put_connector(
        &mut self,
        fingerprint: &str,
        organization: Organization,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let organization = organization.to_string();
        let mac = door(fingerprint, &organization).mac(&self.keys);
        self.raw.run(PUT, args![fingerprint, &organization, at.as_microsecond(), &mac]).await?;
        Ok(())
    }
}

impl Store {
    /// Fingerprints of unattended programs, each with its organisation; rows whose MAC fails are left out.
    pub async fn connectors(&self) -> Result<Vec<(String, Organization)>, StoreError> {
        let rows = self.engine.rows(LIST, args![]).await?;
        rows.iter().filter_map(|row| readable("connector", self.connector_row(row)).transpose()).collect()
    }

    fn connector_row(&self, row: &Row) -> Result<Option<(String, Organization)>, StoreError> {
        let (fingerprint, organization) = (row.text(0)?, row.text(1)?);
        if !door(&fingerprint, &organization).fits(&self.keys, &row.blob(2)?) {
            return Ok(None);
        }
        let organization = Organization::parse(&organization).map_err(|_| StoreError::Unreadable("connector"))?;
        Ok(Some((fingerprint, organization)))
    }
}

fn door(fingerprint: &str, organization: &str) -> Door {
    Door::new("connector").text(fingerprint).text(organization)
}
