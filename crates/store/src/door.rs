//! Rows that open a door carry a MAC under a key outside the database (decision 0006.31, T-9). A row whose
//! MAC fails does not exist, and an alarm is raised: writing to the database alone opens nothing.

use crate::Keyring;
use crate::seal::MacKey;

/// The columns of a row on which access depends, in their order.
#[derive(Clone)]
pub(crate) struct Door {
    table: &'static str,
    parts: Vec<Vec<u8>>,
}

impl Door {
    pub(crate) fn new(table: &'static str) -> Self {
        Self { table, parts: Vec::new() }
    }

    pub(crate) fn text(mut self, value: &str) -> Self {
        self.parts.push(value.as_bytes().to_vec());
        self
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self.parts.push(value.to_vec());
        self
    }

    /// An absent text differs from an empty one.
    pub(crate) fn maybe_text(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.flag(true).text(value),
            None => self.flag(false),
        }
    }

    pub(crate) fn number(mut self, value: impl Into<i64>) -> Self {
        self.parts.push(value.into().to_be_bytes().to_vec());
        self
    }

    pub(crate) fn maybe_number(self, value: Option<impl Into<i64>>) -> Self {
        match value {
            Some(value) => self.flag(true).number(value),
            None => self.flag(false),
        }
    }

    pub(crate) fn flag(mut self, value: bool) -> Self {
        self.parts.push(vec![u8::from(value)]);
        self
    }

    pub(crate) fn mac(&self, keys: &Keyring) -> [u8; 32] {
        self.mac_under(keys.door())
    }

    pub(crate) fn mac_under(&self, key: &MacKey) -> [u8; 32] {
        key.sign(self.table, &self.slices())
    }

    /// Whether the MAC fits, without an alarm.
    pub(crate) fn fits_under(&self, key: &MacKey, mac: &[u8]) -> bool {
        key.fits(self.table, &self.slices(), mac)
    }

    /// Whether the stored MAC fits; raises the alarm if not.
    pub(crate) fn fits(&self, keys: &Keyring, mac: &[u8]) -> bool {
        let fits = self.fits_under(keys.door(), mac);
        if !fits {
            tracing::error!(table = self.table, "door MAC does not fit, the row is not used");
        }
        fits
    }

    fn slices(&self) -> Vec<&[u8]> {
        self.parts.iter().map(Vec::as_slice).collect()
    }
}
