//! 運用者: registering offices and binding certificates. Acts of the operator's command line (B9): each is audited, and
//! none of them opens a record.

use crate::{Context, Error, Platform};
use kiban_domain::Organization;
use kiban_domain::office::Office;
use kiban_store::{CertificateRow, Entry, Outcome};

impl Platform {
    /// Registers offices or changes them, in one act.
    pub async fn put_offices(&self, offices: &[Office], active: bool, context: &Context) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        for office in offices {
            tx.put_office(office, active).await?;
        }
        let numbers: Vec<_> = offices.iter().map(|office| office.number).collect();
        tx.commit(operator_entry("office.put", serde_json::json!({ "offices": numbers, "active": active }), context))
            .await?;
        self.refresh_standing(context.now).await
    }

    /// Binds certificates to their organisations: only a bound certificate opens anything (decision 0006.27).
    pub async fn bind_certificates(&self, rows: &[CertificateRow], context: &Context) -> Result<(), Error> {
        let mut tx = self.store().begin().await?;
        for row in rows {
            tx.put_certificate(row).await?;
        }
        let serials: Vec<_> = rows.iter().map(|row| &row.serial).collect();
        tx.commit(operator_entry("certificate.bind", serde_json::json!({ "serials": serials }), context)).await?;
        self.refresh_standing(context.now).await
    }

    /// Binds a certificate to an unattended program of a municipality, or of an office that hands in opinions: it needs no
    /// log-in and nobody can log in over it (P-134, P-165).
    pub async fn bind_connector(&self, row: &CertificateRow, context: &Context) -> Result<(), Error> {
        if !matches!(row.organization, Organization::Municipality(_) | Organization::Office(_)) {
            return Err(Error::item("organization", "接続プログラムの証明書は、市区町村か医療機関に発行してください"));
        }
        let mut tx = self.store().begin().await?;
        tx.put_certificate(row).await?;
        tx.put_connector(&row.fingerprint, row.organization, context.now).await?;
        tx.commit(operator_entry("connector.bind", serde_json::json!({ "serials": [&row.serial] }), context)).await?;
        self.refresh_standing(context.now).await
    }

    /// Allows an unattended program of a municipality, by the serial number of its certificate, to export the whole
    /// municipality, or takes that back.
    pub async fn allow_export(&self, serial: &str, may_export: bool, context: &Context) -> Result<(), Error> {
        let certificates = self.store().certificates().await?;
        let row = certificates.into_iter().find(|row| row.serial == serial).ok_or(Error::Unknown)?;
        let mut tx = self.store().begin().await?;
        let connector = tx.allow_export(&row.fingerprint, may_export).await?.ok_or(Error::Unknown)?;
        if !matches!(connector.organization, Organization::Municipality(_)) {
            return Err(Error::item("serial", "書出しができるのは、市区町村の接続プログラムだけです"));
        }
        let detail = serde_json::json!({ "serial": serial, "may_export": may_export });
        tx.commit(operator_entry("connector.export", detail, context)).await?;
        self.refresh_standing(context.now).await
    }
}

fn operator_entry(action: &str, detail: serde_json::Value, context: &Context) -> Entry {
    let entry = Entry::new(context.now, &context.request_id, "cli", action, Outcome::Done);
    Entry { organization: Some("operator".to_owned()), detail: Some(detail.to_string()), ..entry }
}
